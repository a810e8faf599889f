// SPDX-License-Identifier: Apache-2.0
// A board's power: how it is switched, what it is now, switching it.
import { confirmed, doing } from "./actions.js";
import { board as boardPath, get, request } from "./api.js";
import { eventRow } from "./activity.js";
import { empty, failure, h, put, setText } from "./dom.js";
import { ago, day } from "./format.js";
import { watch } from "./live.js";

const LOSES = "It loses what it has not written.";
const ACTIONS = [
	["on", "Switch on", null],
	["soft", "Restart softly", "Its system is asked to restart; then it boots anew."],
	["cycle", "Off and on again", LOSES],
	["off", "Switch off", LOSES],
];
const NEWS = /^(power\.|board\.(quarantined|released))/;

export function powerTab(box, name) {
	const state = h("div"), result = h("div"), held = h("div"), events = h("ol", { class: "feed" });
	const buttons = h("div", { class: "buttons", hidden: true }, ACTIONS.map(([action, label, warning]) =>
		h("button", { type: "button", class: action === "off" || action === "cycle" ? "danger" : "", onclick: () => act(action, label, warning) }, label)));

	function quarantine(q) {
		put(held, q ? h("div", { class: "failure" }, h("strong", null, "In quarantine"), h("p", null, `${q.reason}, since ${day(q.since)}`),
			h("p", { class: "cure" }, "Jobs do not get it, and it is not switched on by itself, until it is released."),
			h("button", { type: "button", onclick: release }, "Release it")) : null);
	}

	function show(p) {
		buttons.hidden = !p.uri;
		quarantine(p.quarantine);
		if (!p.uri) {
			put(state, empty("Nobody told bramble how to switch it", "Give it a power address under Settings, such as ", h("code", null, "tasmota://10.0.0.9/2"), " or ",
				h("code", null, "snmp://switch/7"), "; docs/power.md has them all."));
			return;
		}
		const facts = [["Power", p.power], ["Read", p.read_at ? ago(p.read_at) : null], ["By", p.driver], ["At", p.uri], ["Device", p.device], ["Says", p.detail], ["Failures", p.failures || null],
			["Trouble", p.error], ["Order", p.job && p.job.state !== "done" ? `${p.job.action}: ${p.job.state}, ${p.job.step}` : null]];
		put(state, h("dl", { class: "facts" }, facts.filter(([, v]) => v !== null && v !== undefined)
			.map(([k, v]) => h("div", null, h("dt", null, k), h("dd", null, String(v))))));
	}

	async function load() {
		try {
			show(await get(boardPath(name, "/power")));
		} catch (e) {
			put(state, failure(e, load));
		}
	}

	async function act(action, label, warning) {
		if (warning && !await confirmed(`${label}: ${name}?`, warning, label)) return;
		await doing(result, "", async () => {
			setText(result.querySelector(".hint") ?? result, `${label} \u2026 a switch may take some seconds.`);
			const job = await request("POST", boardPath(name, "/power"), { action });
			if (job.state === "failed") throw Object.assign(new Error(job.text ?? `the step '${job.step}' failed`), { title: `${label}: failed` });
			return `${label}: done. ${job.text ?? ""}`;
		});
		load();
	}

	async function release() {
		await doing(result, "Released.", () => request("DELETE", boardPath(name, "/quarantine")));
		load();
	}

	async function past() {
		const list = await get(`/v1/events?board=${encodeURIComponent(name)}&type=power&limit=20`).catch(() => []);
		put(events, list.reverse().map(eventRow));
	}

	put(box, h("h2", null, "Power"), held, state, buttons, result, events);
	load();
	past();
	return watch((news) => {
		const mine = news.events.filter((e) => e.board === name && NEWS.test(e.type));
		if (mine.length) {
			events.prepend(...mine.reverse().map(eventRow));
			load();
		}
	});
}
