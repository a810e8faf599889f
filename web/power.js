// SPDX-License-Identifier: Apache-2.0
// A board's power: how it is switched, what it is now, switching it.
import { confirmed, doing } from "./actions.js";
import { board as boardPath, get, request } from "./api.js";
import { eventRow } from "./activity.js";
import { empty, failure, h, put } from "./dom.js";
import { watch } from "./live.js";

const ACTIONS = [
	["on", "Switch on", null],
	["cycle", "Off and on again", "It loses what it has not written."],
	["off", "Switch off", "It loses what it has not written."],
	["reset", "Reset", "Softly where it can be, hard where not."],
];

export function powerTab(box, name) {
	const state = h("div"), result = h("div"), events = h("ol", { class: "feed" });
	const buttons = h("div", { class: "buttons" }, ACTIONS.map(([action, label, warning]) =>
		h("button", { type: "button", class: action === "off" || action === "cycle" ? "danger" : "", onclick: () => act(action, label, warning) }, label)));

	async function load() {
		try {
			const p = await get(boardPath(name, "/power"));
			put(state, h("dl", { class: "facts" }, Object.entries(p).filter(([k, v]) => k !== "board" && v !== null && typeof v !== "object")
				.map(([k, v]) => h("div", null, h("dt", null, k.replaceAll("_", " ")), h("dd", null, String(v))))));
		} catch (e) {
			put(state, e.status === 404 || e.status === 405
				? empty("Nobody told bramble how to switch it", "Give it a power address under Settings: tasmota://\u2026, snmp://\u2026, gpio:\u2026")
				: failure(e, load));
		}
	}

	async function act(action, label, warning) {
		if (warning && action !== "reset" && !await confirmed(`${label}: ${name}?`, warning, label)) return;
		await doing(result, `${label}: done.`, () => request("POST", boardPath(name, "/power"), { action }));
		load();
	}

	async function past() {
		const list = await get(`/v1/events?board=${encodeURIComponent(name)}&type=power&limit=20`).catch(() => []);
		put(events, list.reverse().map(eventRow));
	}

	put(box, h("h2", null, "Power"), state, buttons, result, events);
	load();
	past();
	return watch((news) => {
		const mine = news.events.filter((e) => e.board === name && e.type.startsWith("power"));
		if (mine.length) {
			events.prepend(...mine.reverse().map(eventRow));
			load();
		}
	});
}
