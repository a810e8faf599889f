// SPDX-License-Identifier: Apache-2.0
// Who holds which boards, and who waits for some.
import { confirmed, doing } from "./actions.js";
import { get, request } from "./api.js";
import { empty, failure, h, put } from "./dom.js";
import { about, ago, day } from "./format.js";
import { watch } from "./live.js";

const names = (r) => (Array.isArray(r.boards) ? r.boards.map((b) => (typeof b === "string" ? b : b.name)) : []);

function until(r) {
	const end = r.until;
	if (!end) return "";
	const s = (Date.parse(end) - Date.now()) / 1000;
	return s > 0 ? `for ${about(s)} more` : `ended ${ago(end)}`;
}

export function reservationsView(main) {
	const place = h("div"), result = h("div");

	function row(r) {
		const held = names(r);
		return h("li", { class: "card", data: { state: r.state ?? "" } },
			h("h2", null, r.user || r.who, h("span", { class: "badge" }, r.state)),
			r.note ? h("p", null, r.note) : null,
			held.length ? h("p", { class: "who" }, held.map((n, i) => [i ? ", " : "", h("a", { href: `#/board/${encodeURIComponent(n)}` }, n)])) : null,
			h("p", { class: "hint" }, [r.reservation, r.kind === "job" ? "a job" : "by hand", r.who !== r.user ? `by ${r.who}` : "", r.selector ? `asked for ${r.selector}` : "", r.held_at ? `held since ${day(r.held_at)}` : `waits since ${day(r.asked_at)}`, until(r),
				r.before !== undefined && r.before !== null ? `${r.before} before it` : ""].filter(Boolean).join(", ")),
			h("div", { class: "buttons" }, h("button", { type: "button", class: "danger", onclick: () => release(r) }, "Break it")));
	}

	async function load() {
		try {
			const answer = await get("/v1/reservations");
			const list = Array.isArray(answer) ? answer : answer.reservations ?? [];
			put(place, list.length ? h("ul", { class: "cards" }, list.map(row))
				: empty("No board is reserved", h("code", null, "bramble reserve get model=4B"), " holds one; ",
					h("code", null, "bramble run -b free -- pytest"), " holds one for as long as a command runs."));
		} catch (e) {
			put(place, failure(e, load));
		}
	}

	async function release(r) {
		if (!await confirmed(`Break the reservation of ${r.user || r.who}?`, "Who holds it loses its boards, and a job on them fails.", "Break it")) return;
		await doing(result, "Its boards are free.", () => request("DELETE", `/v1/reservations/${encodeURIComponent(r.reservation)}?break=1&reason=${encodeURIComponent("broken on the web page")}`));
		load();
	}

	main.append(h("h1", null, "Reservations"), h("p", { class: "lead" }, "Boards that belong to somebody for a while."), result, place);
	load();
	const timer = setInterval(() => document.hidden || load(), 10_000);
	const stop = watch((news) => {
		if (news.reservations) load();
	});
	return { stop: () => (stop(), clearInterval(timer)) };
}
