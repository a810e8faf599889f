// SPDX-License-Identifier: Apache-2.0
// The images, and which boards have them.
import { confirmed, doing } from "./actions.js";
import { get, part, request } from "./api.js";
import { empty, failure, h, put } from "./dom.js";
import { bytes, day, plural } from "./format.js";
import { boards, store, watch } from "./live.js";

export function imagesView(main) {
	const place = h("div"), result = h("div");

	function card(image) {
		const on = [...boards.values()].filter((b) => b.effective?.image === image.name).length;
		const isDefault = store.status?.default_image === image.name;
		return h("li", { class: "card" }, h("h2", null, image.name, isDefault ? h("span", { class: "badge" }, "default") : null),
			image.error ? h("p", { class: "failure" }, image.error) : null,
			h("p", null, image.os || "an operating system of unknown name", image.arch ? `, ${image.arch}` : ""),
			h("dl", { class: "facts" }, [["Boards", plural(on, "board")], ["Models", image.models], ["Size", bytes(image.size)], ["On this disk", bytes(image.allocated)],
				["Added", image.imported_at ? day(image.imported_at) : null], ["From", image.source], ["SHA-256", image.sha256]].filter(([, v]) => v)
				.map(([k, v]) => h("div", null, h("dt", null, k), h("dd", { class: k === "SHA-256" ? "mono hash" : "" }, v)))),
			h("div", { class: "buttons" },
				isDefault ? null : h("button", { type: "button", onclick: () => makeDefault(image.name) }, "Make it the default"),
				h("button", { type: "button", class: "danger", onclick: () => remove(image.name) }, "Remove")));
	}

	async function load() {
		try {
			const list = await get("/v1/images");
			put(place, list.length ? h("ul", { class: "cards" }, list.map(card))
				: empty("No images yet", h("code", null, "bramble image add raspios.img.xz"), " on the server adds one."));
		} catch (e) {
			put(place, failure(e, load));
		}
	}

	async function makeDefault(name) {
		await doing(result, `${name} is the default now: boards without an image of their own get it at their next boot.`,
			() => request("PUT", "/v1/default-image", { name }));
		load();
	}

	async function remove(name) {
		if (!await confirmed(`Remove ${name}?`, "Refused while a board has it.", "Remove it")) return;
		await doing(result, `${name} is removed.`, () => request("DELETE", `/v1/images/${part(name)}`));
		load();
	}

	main.append(h("h1", null, "Images"), h("p", { class: "lead" }, "What boards boot. An image is never changed; what boards write goes to their own disks."), result, place);
	load();
	const stop = watch((news) => {
		if (news.events.some((e) => e.type.startsWith("image."))) load();
	});
	return { stop };
}
