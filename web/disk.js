// SPDX-License-Identifier: Apache-2.0
// A board's disk: how full, its snapshots, a look into it.
import { confirmed, doing } from "./actions.js";
import { board as boardPath, get, request, stream } from "./api.js";
import { empty, failure, h, put } from "./dom.js";
import { bytes, day } from "./format.js";

const SHOWN_MAX = 256 * 1024; // of a file

export function diskTab(box, name) {
	const use = h("div"), shots = h("div"), result = h("div"), files = h("div");
	let path = "/";

	async function loadUse() {
		try {
			const d = await get(boardPath(name, "/disk"));
			const used = d.fs_bytes - d.fs_free_bytes;
			put(use, h("div", { class: "meter" }, h("meter", { min: 0, max: d.fs_bytes, high: d.fs_bytes * 0.9, value: used, "aria-label": "How full its file system is" }),
				h("span", null, `${bytes(used)} of ${bytes(d.fs_bytes)} used, ${bytes(d.fs_free_bytes)} free`)),
			h("dl", { class: "facts" },
				[["Kind", d.disk], ["Boot", d.boot], ["Changed by it", bytes(d.changed_bytes)], ["Taken on the server", bytes(d.stored_bytes)],
					["Layers", d.layers], ["Problem", d.problem]].filter(([, v]) => v !== undefined && v !== null)
					.map(([k, v]) => h("div", null, h("dt", null, k), h("dd", null, String(v))))));
		} catch (e) {
			put(use, e.status === 404 ? empty("It has no disk yet", e.message) : failure(e, loadUse));
		}
	}

	async function loadShots() {
		try {
			const answer = await get(boardPath(name, "/disk/snapshots"));
			const list = Array.isArray(answer) ? answer : answer.snapshots ?? [];
			const input = h("input", { type: "text", placeholder: "name", "aria-label": "Name of the new snapshot", autocomplete: "off" });
			put(shots, h("h2", null, "Snapshots"), list.length ? h("ul", { class: "rows" }, list.map((s) => h("li", null,
				h("b", null, s.name), " ", h("span", { class: "hint" }, [s.taken_at ?? s.created_at ? day(s.taken_at ?? s.created_at) : "", s.stored_bytes !== undefined ? bytes(s.stored_bytes) : ""].filter(Boolean).join(", ")),
				h("button", { type: "button", onclick: () => rollback(s.name) }, "Roll back")))) : h("p", { class: "hint" }, "There are none."),
			h("form", { class: "inline", onsubmit: take }, input, h("button", { type: "submit" }, "Take a snapshot")));

			async function take(e) {
				e.preventDefault();
				const n = input.value.trim();
				await doing(result, "The snapshot is taken.", () => request("POST", boardPath(name, "/disk/snapshots"), n ? { name: n } : {}));
				loadShots();
			}
		} catch {
			put(shots); // without a disk there are none
		}
	}

	async function rollback(to) {
		if (!await confirmed(`Roll ${name} back to ${to}?`, "What it wrote since then is gone. A board that has the disk mounted is refused.", "Roll back")) return;
		await doing(result, "Rolled back.", () => request("POST", boardPath(name, "/disk/rollback"), { name: to, force: false }));
		loadUse();
	}

	async function reset() {
		if (!await confirmed(`Drop what ${name} wrote?`, "Its disk starts from its image again. A board that has it mounted is refused: switch it off first.", "Drop it")) return;
		await doing(result, "Its disk starts from the image again.", () => request("POST", boardPath(name, "/disk/reset")));
		loadUse();
	}

	async function showFile(p) {
		const pre = h("pre", { class: "wrap file" }), decoder = new TextDecoder(), abort = new AbortController();
		let n = 0, text = "";
		try {
			await stream(boardPath(name, `/disk/cat?path=${encodeURIComponent(p)}`), (piece) => {
				text += decoder.decode(piece, { stream: true });
				n += piece.length;
				if (n >= SHOWN_MAX) abort.abort();
			}, abort.signal);
		} catch (e) {
			if (e.name !== "AbortError") {
				put(files, crumbs(p), failure(e));
				return;
			}
		}
		// line ends and tabs stay what they are; the rest of control characters becomes visible
		put(pre, text.split("\n").flatMap((line) => [...line.split("\t").flatMap((t, i) => (i ? [document.createTextNode("\t"), t] : [t])), document.createTextNode("\n")]));
		put(files, crumbs(p), pre, n >= SHOWN_MAX ? h("p", { class: "hint" }, `The first ${bytes(SHOWN_MAX)}; \u2018bramble disk cat\u2019 has all.`) : null);
	}

	function crumbs(p) {
		const names = p.split("/").filter(Boolean);
		return h("p", { class: "path" }, h("button", { type: "button", class: "link", onclick: () => list("/") }, "/"),
			names.map((n, i) => [i ? "/" : "", i + 1 < names.length
				? h("button", { type: "button", class: "link", onclick: () => list(`/${names.slice(0, i + 1).join("/")}`) }, n) : h("b", null, n)]));
	}

	async function list(p) {
		path = p;
		try {
			const answer = await get(boardPath(name, `/disk/ls?path=${encodeURIComponent(p)}`));
			const join = (n) => (p === "/" ? `/${n}` : `${p}/${n}`);
			const rows = answer.entries.filter((e) => e.name !== "." && e.name !== "..").sort((a, b) => (b.type === "dir" || b.type === "directory") - (a.type === "dir" || a.type === "directory"));
			put(files, crumbs(p), h("div", { class: "scroll" }, h("table", null, h("thead", null, h("tr", null, h("th", { scope: "col" }, "Name"), h("th", { scope: "col", class: "num" }, "Size"),
				h("th", { scope: "col" }, "Changed"))),
			h("tbody", null, rows.map((e) => {
				const dir = e.type.startsWith("dir"), file = e.type === "file" || e.type === "regular";
				return h("tr", null, h("td", { class: "mono" }, (dir || file) && !e.name_hex
					? h("button", { type: "button", class: "link", onclick: () => (dir ? list(join(e.name)) : showFile(join(e.name))) }, e.name + (dir ? "/" : ""))
					: e.name, e.target ? ` \u2192 ${e.target}` : ""), h("td", { class: "num" }, dir ? "" : bytes(e.size)), h("td", { class: "hint" }, e.mtime ? day(e.mtime) : ""));
			})))));
		} catch (e) {
			put(files, e.status === 404 ? null : failure(e, () => list(path)));
		}
	}

	put(box, h("h2", null, "Disk"), use, result, h("div", { class: "buttons" }, h("button", { type: "button", class: "danger", onclick: reset }, "Drop what it wrote")),
		shots, h("h2", null, "Files"), files);
	loadUse();
	loadShots();
	list("/");
}
