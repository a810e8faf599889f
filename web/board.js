// SPDX-License-Identifier: Apache-2.0
// One board: what it is, how its boots went, its log, console, disk and power.
import { get, board as boardPath, part, request } from "./api.js";
import { confirmed, doing } from "./actions.js";
import { consoleTab } from "./console.js";
import { diskTab } from "./disk.js";
import { empty, failure, h, put, setText } from "./dom.js";
import { ago, clock } from "./format.js";
import { boards, extras, store, watch } from "./live.js";
import { logsPanel } from "./logs.js";
import { planTab } from "./plan.js";
import { powerTab } from "./power.js";
import { STATE, stateOf } from "./stages.js";
import { timelineTab } from "./timeline.js";

const TABS = [
	{ id: "", label: "Boot", run: timelineTab },
	{ id: "log", label: "Log", run: (box, name) => logsPanel(box, { boards: name, follow: true }, true) },
	{ id: "console", label: "Console", run: consoleTab },
	{ id: "disk", label: "Disk", run: diskTab },
	{ id: "power", label: "Power", run: powerTab },
	{ id: "settings", label: "Settings", run: settingsTab },
	{ id: "gets", label: "What it gets", run: planTab },
];

const EDITABLE = [
	["name", "Name"], ["image", "Image", "the default"], ["disk", "Disk", "volatile, persistent or ram"], ["road", "Road", "net, local, flash"],
	["tags", "Tags", "words, for the filter and for jobs"], ["notes", "Notes", ""], ["power", "Power", "how it is switched"],
	["console", "Console", "where its serial line is"],
];

function settingsTab(box, name) {
	const result = h("div");
	const inputs = new Map();
	let before = {};
	const form = h("form", { class: "settings" }, EDITABLE.map(([key, label, hint]) => {
		const input = h("input", { type: "text", id: `set-${key}`, autocomplete: "off", spellcheck: "false", placeholder: hint ?? "" });
		inputs.set(key, input);
		return h("div", { class: "field" }, h("label", { for: `set-${key}` }, label), input);
	}), h("div", { class: "buttons" }, h("button", { type: "submit", class: "primary" }, "Save"),
		h("button", { type: "button", class: "danger", onclick: remove }, "Remove this board")), result);

	async function load() {
		try {
			before = await get(boardPath(name));
			for (const [key, input] of inputs) input.value = before[key] ?? "";
		} catch (e) {
			put(result, failure(e, load));
		}
	}

	form.addEventListener("submit", async (e) => {
		e.preventDefault();
		const changes = {};
		for (const [key, input] of inputs) {
			const value = input.value.trim() || null;
			if (value !== (before[key] ?? null)) changes[key] = value;
		}
		if (!Object.keys(changes).length) {
			put(result, h("p", { class: "hint", role: "status" }, "Nothing was changed."));
			return;
		}
		await doing(result, "Saved. A running board gets it at its next boot.", async () => {
			const after = await request("PATCH", boardPath(name), changes);
			if (after.name !== name) location.hash = `#/board/${part(after.name)}/settings`;
			else await load();
		});
	});

	async function remove() {
		if (!await confirmed(`Remove ${name}?`, "Its stored disk and its address go, too. It is adopted anew when it asks again.", "Remove it")) return;
		await doing(result, "Removed.", async () => {
			await request("DELETE", boardPath(name));
			location.hash = "#/";
		});
	}

	put(box, form);
	load();
}

// What it is, in a line of facts.
function facts(b) {
	const list = [["Model", b.model], ["Address", b.address], ["Image", b.effective?.image], ["Disk", b.effective?.disk], ["MAC", b.mac],
		["Serial", b.serial], ["Tags", b.tags], ["Notes", b.notes], ["Reserved", b.reserved ? `by ${b.reserved.user}` : null], ["Seen", b.seen_at ? ago(b.seen_at) : null]];
	return list.filter(([, v]) => v).map(([k, v]) => h("div", null, h("dt", null, k), h("dd", null, v)));
}

export function boardView(main, words) {
	const name = words[0] ?? "";
	const glyph = h("span", { class: "glyph large", "aria-hidden": "true" });
	const stage = h("span", { class: "stage-text" });
	const since = h("span", { class: "hint" });
	const transfer = h("div", { class: "transfer", hidden: true });
	const list = h("dl", { class: "facts" });
	const why = h("section", { class: "why", "aria-label": "What bramble thinks of it", "aria-live": "polite", hidden: true });
	const tabs = h("nav", { class: "tabs", "aria-label": "Of this board" });
	const place = h("div", { class: "tab" });
	let ended = null, tabId = null, factsKey = "", whyKey = "";

	main.append(h("nav", { class: "crumbs", "aria-label": "Where you are" }, h("a", { href: "#/" }, "Fleet"), " / ", h("span", null, name)),
		h("div", { class: "board-head" }, glyph, h("h1", null, name), stage, since), transfer, list, why, tabs, place);

	function showWhy(v) {
		const key = JSON.stringify([v?.verdict, v?.level]);
		if (key === whyKey) return;
		whyKey = key;
		why.hidden = !v;
		if (!v) return;
		why.dataset.level = v.level;
		put(why, h("p", { class: "verdict" }, v.verdict), v.cure ? h("p", { class: "cure" }, v.cure) : null,
			v.evidence?.length ? h("details", null, h("summary", null, "What this is concluded from"),
				h("pre", null, v.evidence.join("\n").split("\n").map((l) => [l, document.createElement("br")]))) : null);
	}

	async function askWhy() {
		try {
			const v = await get(boardPath(name, "/why"));
			const e = extras.get(name) ?? {};
			e.verdict = v;
			extras.set(name, e);
			showWhy(v);
			show();
		} catch (e) {
			if (e.status !== 404) showWhy(null);
		}
	}

	function show() {
		const b = boards.get(name);
		if (!b) {
			if (store.loaded && !list.childElementCount) {
				put(place, empty(`There is no board ${name}`, "It was removed or renamed, or never asked to boot. ", h("a", { href: "#/" }, "All boards")));
				tabs.hidden = true;
			} else if (store.loaded) {
				setText(stage, "removed");
			}
			return;
		}
		const state = stateOf(b, extras.get(name));
		glyph.dataset.state = state;
		stage.dataset.state = state;
		setText(stage, STATE[state].label);
		setText(since, b.boot ? `boot ${b.boot.number}, since ${clock(b.boot.stage_at)}` : "");
		const t = b.transfer;
		transfer.hidden = !t;
		if (t) put(transfer, h("progress", { max: t.size || 1, value: t.bytes }), ` ${t.path}`);
		const key = JSON.stringify([b, Math.floor(Date.now() / 10_000)]);
		if (key !== factsKey) {
			factsKey = key;
			put(list, facts(b));
		}
		if (tabs.hidden || tabId === null) {
			tabs.hidden = false;
			openTab(tabId ?? words[1] ?? "");
		}
	}

	function openTab(id) {
		const tab = TABS.find((t) => t.id === id) ?? TABS[0];
		ended?.();
		tabId = tab.id;
		put(tabs, TABS.map((t) => h("a", { href: `#/board/${part(name)}${t.id ? `/${t.id}` : ""}`, "aria-current": t === tab ? "page" : null }, t.label)));
		put(place);
		place.dataset.tab = tab.id;
		ended = tab.run(place, name);
	}

	show();
	askWhy();
	const timer = setInterval(() => document.hidden || askWhy(), 5000);
	const stop = watch((news) => {
		if (news.changed.has(name) || news.removed.has(name) || news.status) show();
	});
	return {
		stop() {
			stop();
			clearInterval(timer);
			ended?.();
		},
		update: (more) => openTab(more[1] ?? ""),
	};
}
