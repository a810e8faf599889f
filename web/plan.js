// SPDX-License-Identifier: Apache-2.0
// What a board gets: its command line, boot files, and files made for its root.
import { board as boardPath, get } from "./api.js";
import { failure, h, put } from "./dom.js";
import { bytes } from "./format.js";

const ORIGIN = { image: "the image", projected: "made for it", override: "your override", made: "made", local: "this server" };

export function planTab(box, name) {
	async function load() {
		try {
			const p = await get(boardPath(name, "/plan"));
			put(box, h("h2", null, "Command line"), h("pre", { class: "wrap" }, p.cmdline),
				p.problem ? h("p", { class: "failure" }, p.problem) : null,
				h("h2", null, "Boot files"),
				h("div", { class: "scroll" }, h("table", null,
					h("thead", null, h("tr", null, h("th", { scope: "col" }, "File"), h("th", { scope: "col", class: "num" }, "Size"), h("th", { scope: "col" }, "From"))),
					h("tbody", null, p.boot_files.map((f) => h("tr", null, h("td", { class: "mono" }, f.path), h("td", { class: "num" }, bytes(f.size)),
						h("td", { data: { origin: f.origin } }, ORIGIN[f.origin] ?? f.origin, f.layer ? ` (${f.layer})` : "")))))),
				h("h2", null, "Files of its own in its root"),
				h("div", { class: "scroll" }, h("table", null,
					h("thead", null, h("tr", null, h("th", { scope: "col" }, "File"), h("th", { scope: "col" }, "Why"))),
					h("tbody", null, p.root_files.map((f) => h("tr", null, h("td", { class: "mono" }, f.path), h("td", null, f.hidden ? "hidden: " : "", f.why ?? "")))))));
		} catch (e) {
			put(box, failure(e, load));
		}
	}
	load();
}
