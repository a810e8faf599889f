// SPDX-License-Identifier: Apache-2.0
// What happens, in words.
import { get } from "./api.js";
import { failure, h, put } from "./dom.js";
import { clock, day } from "./format.js";
import { watch } from "./live.js";

const MAX = 2000;
const BAD = /(failed|refused|trouble|full|nak|lost|conflict)$/;

// The daemon's words; an older one sends only the fields.
export function eventText(ev) {
	if (ev.text) return ev.text;
	const f = Object.entries(ev.fields ?? {}).map(([k, v]) => `${k}=${typeof v === "object" ? JSON.stringify(v) : v}`);
	return `${ev.type} ${f.join(" ")}`;
}

export function eventRow(ev) {
	return h("li", { data: { kind: BAD.test(ev.type) ? "bad" : ev.type.split(".")[0] } },
		h("time", { datetime: ev.time, title: day(ev.time) }, clock(ev.time)), " ",
		ev.board ? h("a", { href: `#/board/${encodeURIComponent(ev.board)}` }, ev.board) : h("span", { class: "hint" }, "bramble"), " ",
		h("span", { class: "event-text" }, eventText(ev)));
}

export function activityView(main, words, query) {
	const list = h("ol", { class: "feed long" });
	let text = query.get("q") ?? "", paused = false, later = [];
	const search = h("input", { type: "search", value: text, placeholder: "Filter: board, word, type", "aria-label": "Filter the events", autocomplete: "off" });
	const pause = h("button", { type: "button", "aria-pressed": "false" }, "Pause");
	const events = [];
	const fits = (ev) => !text || `${ev.board ?? ""} ${ev.type} ${eventText(ev)}`.toLowerCase().includes(text.toLowerCase());

	function add(news) {
		events.push(...news);
		if (events.length > MAX) events.splice(0, events.length - MAX);
		list.prepend(...news.filter(fits).reverse().map(eventRow));
		while (list.childElementCount > MAX) list.lastElementChild.remove();
	}

	function redraw() {
		put(list, events.filter(fits).reverse().map(eventRow));
		if (!list.childElementCount) put(list, h("li", { class: "hint" }, text ? "No event fits the filter." : "Nothing has happened yet."));
	}

	async function load() {
		try {
			events.push(...await get("/v1/events?limit=500"));
			redraw();
		} catch (e) {
			put(list, h("li", null, failure(e, load)));
		}
	}

	search.addEventListener("input", () => {
		text = search.value.trim();
		redraw();
	});
	pause.addEventListener("click", () => {
		paused = !paused;
		pause.setAttribute("aria-pressed", String(paused));
		if (!paused) add(later.splice(0));
	});
	main.append(h("h1", null, "Activity"), h("p", { class: "lead" }, "Everything that bramble did and saw, newest first."),
		h("div", { class: "tools" }, search, pause), list);
	load();
	const stop = watch((news) => {
		if (!news.events.length || !events.length) return;
		const last = events.at(-1)?.seq ?? 0, fresh = news.events.filter((e) => e.seq > last);
		if (paused) later = [...later, ...fresh].slice(-MAX);
		else if (fresh.length) add(fresh);
	});
	return { stop };
}
