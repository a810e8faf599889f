// SPDX-License-Identifier: Apache-2.0
// The fleet: a cell per board, the storm above, what needs a person beside. Only cells that changed are touched.
import { announce, empty, h, put, setAttr, setText } from "./dom.js";
import { eventRow } from "./activity.js";
import { about, byName, plural, rate } from "./format.js";
import { boards, extras, recent, store, watch } from "./live.js";
import { spark } from "./spark.js";
import { isBooting, STATE, STATES, stateOf } from "./stages.js";

const COMPACT_FROM = 250; // boards: more get small cells
const FEED = 14;
const SUM_MS = 250;

// Words of the filter: "pi0 model:4 stage:up image:raspios tag:lab state:wrong"
const FIELDS = {
	model: (b) => b.model ?? "",
	stage: (b, state) => `${state} ${STATE[state].label}`,
	state: (b, state) => `${state} ${STATE[state].label}`,
	image: (b) => b.effective?.image ?? "",
	disk: (b) => b.effective?.disk ?? "",
	tag: (b) => b.tags ?? "",
	held: (b) => (b.reserved ? `${b.reserved.user} ${b.reserved.reservation}` : ""),
	address: (b) => b.address ?? "",
	mac: (b) => b.mac ?? "",
	serial: (b) => b.serial ?? "",
};

function compileFilter(text) {
	const tests = text.toLowerCase().split(/\s+/).filter(Boolean).map((word) => {
		const at = word.search(/[:=]/), field = at > 0 ? FIELDS[word.slice(0, at)] : null;
		const wanted = field ? word.slice(at + 1) : word;
		if (field) return (b, state) => field(b, state).toLowerCase().includes(wanted);
		return (b, state) => [b.name, b.model, b.serial, b.mac, b.address, b.notes, b.tags, b.effective?.image, STATE[state].label]
			.some((v) => v && v.toLowerCase().includes(wanted));
	});
	return (b, state) => tests.every((t) => t(b, state));
}

class Cell {
	constructor(name) {
		this.name = name;
		this.state = null;
		this.stateText = h("span", { class: "cell-state" });
		this.share = 0;
		this.model = h("span", { class: "cell-model" });
		this.link = h("a", { class: "cell", href: `#/board/${encodeURIComponent(name)}`, tabindex: "-1" },
			h("span", { class: "glyph", "aria-hidden": "true" }), h("span", { class: "cell-name" }, name), this.model, this.stateText);
		this.item = h("li", null, this.link);
	}

	update(board, state, compact) {
		const label = STATE[state].label, verdict = extras.get(this.name)?.verdict;
		if (this.state !== state) {
			this.state = state;
			this.link.dataset.state = state;
			setText(this.stateText, state === "wrong" ? STATE[state].short : label);
		}
		setText(this.model, [board.model, board.reserved ? "held" : null].filter(Boolean).join(", "));
		const t = board.transfer, share = t?.size ? Math.round(t.bytes / t.size * 100) : 0;
		if (this.share !== share) {
			this.share = share;
			if (share) this.link.style.setProperty("--transfer", `${share}%`);
			else this.link.style.removeProperty("--transfer");
		}
		setAttr(this.link, "aria-label", compact || state === "wrong" ? `${this.name}, ${label}` : null);
		const held = board.reserved ? `, held by ${board.reserved.user}` : "";
		setAttr(this.link, "title", state === "wrong" ? `${this.name}: ${verdict?.verdict}${held}` : compact || held ? `${this.name}: ${label}${held}` : null);
	}
}

class Grid {
	constructor(view) {
		this.view = view;
		this.cells = new Map();
		this.order = [];
		this.counts = new Map();
		this.list = h("ul", { class: "grid", "aria-label": "Boards. Arrow keys move, Enter opens." });
		this.none = h("div", { hidden: true });
		this.list.addEventListener("keydown", (e) => this.key(e));
		this.list.addEventListener("focusin", (e) => this.focusOn(e.target.closest(".cell")));
	}

	// One stop of the Tab key, wherever the arrows went.
	focusOn(link) {
		if (!link) return;
		this.list.querySelector('.cell[tabindex="0"]')?.setAttribute("tabindex", "-1");
		link.setAttribute("tabindex", "0");
	}

	key(e) {
		const shown = this.order.filter((c) => !c.item.hidden).map((c) => c.link);
		const at = shown.indexOf(document.activeElement);
		if (at < 0) return;
		const top = shown[0].offsetTop;
		let perRow = shown.findIndex((l) => l.offsetTop !== top);
		if (perRow < 0) perRow = shown.length;
		const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: perRow, ArrowUp: -perRow, Home: -at, End: shown.length - 1 - at }[e.key];
		if (step === undefined) return;
		e.preventDefault();
		shown[Math.max(0, Math.min(shown.length - 1, at + step))].focus();
	}

	insert(cell) {
		let low = 0, high = this.order.length;
		while (low < high) {
			const mid = (low + high) >> 1;
			if (byName(this.order[mid].name, cell.name) < 0) low = mid + 1;
			else high = mid;
		}
		this.list.insertBefore(cell.item, this.order[low]?.item ?? null);
		this.order.splice(low, 0, cell);
	}

	count(state, n) {
		if (state) this.counts.set(state, (this.counts.get(state) ?? 0) + n);
	}

	take(name) {
		const board = boards.get(name);
		if (!board) return;
		let cell = this.cells.get(name);
		if (!cell) {
			cell = new Cell(name);
			this.cells.set(name, cell);
			this.insert(cell);
		}
		const before = cell.state, state = stateOf(board, extras.get(name));
		cell.update(board, state, this.compact);
		if (before !== state) {
			this.count(before, -1);
			this.count(state, 1);
		}
		this.filterOne(cell, board);
	}

	filterOne(cell, board) {
		const hidden = !this.view.accepts(board, cell.state);
		if (cell.item.hidden !== hidden) cell.item.hidden = hidden;
	}

	drop(name) {
		const cell = this.cells.get(name);
		if (!cell) return;
		this.count(cell.state, -1);
		cell.item.remove();
		this.cells.delete(name);
		this.order.splice(this.order.indexOf(cell), 1);
	}

	finish() {
		const compact = this.view.density === "compact" || (this.view.density === "auto" && this.cells.size >= COMPACT_FROM);
		if (compact !== this.compact) {
			this.compact = compact;
			this.list.classList.toggle("compact", compact);
			for (const cell of this.order) cell.update(boards.get(cell.name), cell.state, compact);
		}
		const shown = this.order.reduce((n, c) => n + !c.item.hidden, 0);
		if (!this.list.querySelector('.cell[tabindex="0"]') || this.list.querySelector('li[hidden] .cell[tabindex="0"]'))
			this.focusOn(this.order.find((c) => !c.item.hidden)?.link);
		this.none.hidden = shown > 0 || !store.loaded;
		if (!this.none.hidden && this.noneOf !== this.cells.size) {
			this.noneOf = this.cells.size;
			put(this.none, this.cells.size
				? empty("No board fits the filter", "Press Escape in the filter to take it away.")
				: empty("No boards yet", "Power one on in the network that bramble serves: it appears here with its first packet. ",
					h("code", null, "bramble sim --model 4 --interface br0"), " plays one."));
		}
		return shown;
	}

	filterAll() {
		for (const cell of this.order) this.filterOne(cell, boards.get(cell.name));
	}
}

// ---- the storm: how many boot, how fast, how long it will take --------------------------------------------------------

class Storm {
	constructor(view) {
		this.view = view;
		this.number = h("span", { class: "figure" });
		this.words = h("span", { class: "figure-words" });
		this.rate = h("span", { class: "figure" });
		this.left = h("span", { class: "figure" });
		this.leftBox = h("div", { hidden: true }, this.left, h("span", { class: "figure-words" }, "left"));
		this.canvas = h("canvas", { class: "spark", width: "240", height: "44", "aria-hidden": "true" });
		this.bar = h("div", { class: "bar", role: "img" });
		this.legend = h("div", { class: "legend", role: "group", "aria-label": "Show only boards that are" });
		this.segments = new Map();
		this.done = []; // [when, how many boards were through]
		this.total = 0;
		this.el = h("section", { class: "storm", "aria-label": "The fleet in numbers" },
			h("div", { class: "figures" },
				h("div", null, this.number, this.words),
				h("div", null, this.rate, h("span", { class: "figure-words" }, "to the boards"), this.canvas),
				this.leftBox),
			this.bar, this.legend);
		for (const s of STATES) this.addSegment(s);
	}

	addSegment(s) {
		const part = h("span", { class: "bar-part", data: { state: s.id }, hidden: true });
		const n = h("b", null, "0");
		const button = h("button", { type: "button", class: "chip", data: { state: s.id }, hidden: true, "aria-pressed": "false",
			onclick: () => this.view.toggleState(s.id) },
		h("span", { class: "glyph", "aria-hidden": "true" }), n, ` ${s.label}`);
		this.bar.append(part);
		this.legend.append(button);
		this.segments.set(s.id, { part, button, n });
	}

	// By how fast boards came through in the last half minute.
	timeLeft(booting, through, now) {
		if (!booting) {
			this.done = [];
			return null;
		}
		if (!this.done.length || now - this.done.at(-1)[0] > 900) this.done.push([now, through]);
		while (this.done.length > 2 && now - this.done[0][0] > 30_000) this.done.shift();
		const [t0, n0] = this.done[0], came = through - n0, s = (now - t0) / 1000;
		return came >= 3 && s >= 1 ? booting / (came / s) : undefined;
	}

	update(grid) {
		const now = Date.now(), total = grid.cells.size;
		let booting = 0;
		for (const [name, cell] of grid.cells) booting += isBooting(boards.get(name), cell.state, now);
		const through = (grid.counts.get("up") ?? 0) + (grid.counts.get("mounted") ?? 0);
		const left = booting && typeof store.status?.left_s === "number" ? store.status.left_s : this.timeLeft(booting, through, now);
		setText(this.number, booting ? booting : total);
		setText(this.words, booting ? `of ${plural(total, "board")} booting` : total === 1 ? "board" : "boards");
		setText(this.rate, rate(store.rate));
		this.leftBox.hidden = left === null || left === undefined;
		if (!this.leftBox.hidden) setText(this.left, `about ${about(left)}`);
		const words = [];
		for (const s of STATES) {
			const n = grid.counts.get(s.id) ?? 0, seg = this.segments.get(s.id);
			const on = this.view.only.has(s.id);
			if (seg.shown !== n) {
				seg.shown = n;
				seg.part.hidden = !n;
				setText(seg.n, n);
			}
			seg.button.hidden = !n && !on;
			setAttr(seg.button, "aria-pressed", String(on));
			if (n) {
				seg.part.style.flexGrow = String(n);
				words.push(`${n} ${s.label}`);
			}
		}
		setAttr(this.bar, "aria-label", words.join(", ") || "no boards");
		this.say(booting, total, words);
	}

	// At most every ten seconds, and when it is over.
	say(booting, total, words) {
		if (this.said && !booting) announce(`No board is booting any more. ${words.join(", ")}.`);
		else if (booting) announce(`${booting} of ${total} boards booting. ${words.join(", ")}.`, 10_000);
		this.said = booting > 0;
	}
}

// ---- what needs a person ------------------------------------------------------------------------------------------------

class Attention {
	constructor() {
		this.list = h("ul", { class: "attention-list" });
		this.title = h("h2", null, "Needs attention");
		this.el = h("section", { class: "attention", "aria-label": "Needs attention" }, this.title, this.list);
		this.key = null;
	}

	update(grid) {
		const wrong = grid.order.filter((c) => c.state === "wrong").map((c) => [c.name, extras.get(c.name).verdict]);
		const groups = new Map(); // the same words of many boards are one line
		for (const [name, v] of wrong) {
			const words = v.verdict.replaceAll(name, "\u2026");
			if (!groups.has(words)) groups.set(words, { verdict: v, names: [] });
			groups.get(words).names.push(name);
		}
		const key = JSON.stringify([...groups].map(([w, g]) => [w, g.names]));
		if (key === this.key) return;
		this.key = key;
		setText(this.title, wrong.length ? `Needs attention (${wrong.length})` : "Needs attention");
		put(this.list, wrong.length
			? [...groups.values()].sort((a, b) => b.names.length - a.names.length).map((g) => this.row(g))
			: h("li", { class: "calm" }, h("span", { class: "glyph", data: { state: "up" }, "aria-hidden": "true" }), "Nothing does."));
	}

	row({ verdict, names }) {
		const MANY = 6;
		return h("li", null,
			h("p", { class: "who" }, names.slice(0, MANY).map((n, i) => [i ? ", " : "", h("a", { href: `#/board/${encodeURIComponent(n)}` }, n)]),
				names.length > MANY ? ` and ${plural(names.length - MANY, "more", "more")}` : ""),
			h("p", { class: "verdict" }, verdict.verdict),
			verdict.cure ? h("p", { class: "cure" }, verdict.cure) : null);
	}
}

export function fleetView(main, words, query) {
	const view = {
		only: new Set(query.get("state")?.split(",").filter((s) => STATE[s]) ?? []),
		text: query.get("q") ?? "",
		density: sessionStorage.getItem("bramble.density") ?? "auto",
		accepts(board, state) {
			return (!this.only.size || this.only.has(state)) && this.filter(board, state);
		},
		toggleState(id) {
			if (!this.only.delete(id)) this.only.add(id);
			refilter();
		},
	};
	view.filter = compileFilter(view.text);
	const grid = new Grid(view), storm = new Storm(view), attention = new Attention();
	const shownText = h("span", { class: "hint" });
	const search = h("input", { type: "search", value: view.text, placeholder: "Filter: name, model:4B, tag:lab, image:\u2026",
		"aria-label": "Filter the boards by name, model, tag, image, address", autocomplete: "off", spellcheck: "false" });
	const density = h("select", { "aria-label": "Size of the cells" },
		[["auto", "Cells: by themselves"], ["wide", "Cells: with words"], ["compact", "Cells: small"]].map(([value, label]) =>
			h("option", { value, selected: view.density === value }, label)));
	const feed = h("ol", { class: "feed" });

	function refilter() {
		grid.filterAll();
		finish();
		const q = new URLSearchParams();
		if (view.text) q.set("q", view.text);
		if (view.only.size) q.set("state", [...view.only].join(","));
		history.replaceState(null, "", q.size ? `#/?${q}` : "#/");
	}

	function finish() {
		const shown = grid.finish();
		setText(shownText, shown === grid.cells.size ? "" : `${shown} of ${grid.cells.size} shown`);
		storm.update(grid);
		attention.update(grid);
	}

	search.addEventListener("input", () => {
		view.text = search.value.trim();
		view.filter = compileFilter(view.text);
		refilter();
		announce(shownText.textContent || "all boards shown", 1000);
	});
	search.addEventListener("keydown", (e) => {
		if (e.key === "Escape" && search.value) {
			search.value = "";
			search.dispatchEvent(new Event("input"));
		} else if (e.key === "Enter" || e.key === "ArrowDown") {
			e.preventDefault();
			grid.list.querySelector('li:not([hidden]) .cell[tabindex="0"]')?.focus();
		}
	});
	density.addEventListener("change", () => {
		view.density = density.value;
		sessionStorage.setItem("bramble.density", density.value);
		finish();
	});

	function showFeed() {
		put(feed, recent.filter((e) => e.type !== "file.probed" && e.type !== "file.missing").slice(-FEED).reverse().map(eventRow));
		if (!recent.length) put(feed, h("li", { class: "hint" }, "Nothing has happened yet."));
	}

	main.append(h("h1", { class: "unseen" }, "Fleet"), storm.el,
		h("div", { class: "columns" },
			h("section", { class: "fleet", "aria-label": "Boards" },
				h("div", { class: "tools" }, search, shownText, density), grid.list, grid.none),
			h("aside", null, attention.el,
				h("section", { "aria-label": "The newest events" }, h("h2", null, "Now"), feed,
					h("p", null, h("a", { href: "#/activity" }, "All activity"))))));

	for (const name of [...boards.keys()].sort(byName)) grid.take(name);
	finish();
	showFeed();
	spark(storm.canvas, store.rates);
	let timer = 0, summedAt = 0, feedIsOld = false;

	// Sums and the feed: as often as they can be read, whatever comes in between.
	function sum() {
		timer = 0;
		summedAt = performance.now();
		finish();
		if (feedIsOld) showFeed();
		feedIsOld = false;
	}

	const stop = watch((news) => {
		for (const name of news.removed) grid.drop(name);
		for (const name of news.changed) grid.take(name);
		if (news.events.length) feedIsOld = true;
		if (!timer) timer = setTimeout(sum, Math.max(0, SUM_MS - (performance.now() - summedAt)));
		if (news.status) spark(storm.canvas, store.rates);
	});
	return { stop: () => (stop(), clearTimeout(timer)) };
}
