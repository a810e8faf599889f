// SPDX-License-Identifier: Apache-2.0
// A boot as a drawing and as a table, beside the one before when wanted.
import { get } from "./api.js";
import { bootModel, fileRows } from "./bootmodel.js";
import { empty, failure, h, put, setText, svg } from "./dom.js";
import { bytes, day, plural, rate, seconds } from "./format.js";
import { watch } from "./live.js";

const WHO = { turn: "waited its turn", wire: "files on the wire", board: "the board by itself", system: "its system starts" };
const ROW = 22, BAND = 20, AXIS = 22, MARK = 18;

// 1, 2 or 5 times a power of ten, so that about n ticks come out
function tickStep(span, n) {
	const raw = span / n, base = 10 ** Math.floor(Math.log10(raw));
	return base * ([1, 2, 5, 10].find((m) => m * base >= raw) ?? 10);
}

class Drawing {
	constructor(model, former, width) {
		this.model = model;
		this.former = former;
		this.width = width;
		this.label = Math.min(190, Math.max(96, width * 0.24));
		this.plot = width - this.label - (width < 560 ? 14 : 130);
		this.span = Math.max(model.end, former?.end ?? 0) * 1.02 || 1;
		this.y = 0;
		this.el = svg("svg", { class: "timeline", role: "img", width, "aria-label": this.summary() });
	}

	x(t) {
		return this.label + (t / this.span) * this.plot;
	}

	summary() {
		const m = this.model;
		return `Boot ${m.boot}: ${seconds(m.end)}. ` + Object.entries(WHO).filter(([k]) => m.of[k])
			.map(([k, words]) => `${words} ${seconds(m.of[k])}`).join(", ");
	}

	text(x, y, words, cls, anchor = "start") {
		this.el.append(svg("text", { x, y, class: cls, "text-anchor": anchor }, words));
	}

	axis() {
		const step = tickStep(this.span, Math.max(3, this.plot / 110));
		this.ticks = [];
		for (let t = 0; t <= this.span; t += step) {
			this.ticks.push(this.x(t));
			this.text(this.x(t), 13, t === 0 ? "0" : `${t.toFixed(step < 0.01 ? 3 : step < 0.1 ? 2 : step < 1 ? 1 : 0)} s`, "tick", t === 0 ? "start" : "middle");
		}
		this.y = AXIS;
	}

	band(model, words, cls) {
		this.text(this.label - 8, this.y + BAND / 2 + 4, words, "row-label", "end");
		for (const b of model.bands) {
			this.el.append(svg("rect", { class: `band ${cls}`, data: { who: b.who }, x: this.x(b.from), y: this.y + 2, width: Math.max(1, this.x(b.to) - this.x(b.from)), height: BAND - 4 },
				svg("title", null, `${WHO[b.who]}: ${seconds(b.to - b.from)}, from ${seconds(b.from)}`)));
		}
		this.y += BAND + 4;
	}

	// Words beside their mark, on as many lines as they need.
	marks() {
		const ends = [], top = this.y;
		for (const m of this.model.marks) {
			const x = this.x(m.at), right = x + 10 + m.label.length * 6.4, flip = right > this.width && x > this.width / 2;
			const from = flip ? x - 10 - m.label.length * 6.4 : x;
			let line = ends.findIndex((e) => e < from);
			if (line < 0) line = ends.length < 6 ? ends.push(0) - 1 : 5;
			ends[line] = flip ? x + 8 : right + 8;
			const y = top + line * MARK + 9;
			this.el.append(svg("g", { class: `mark${m.bad ? " bad" : ""}` }, svg("title", null, `${m.label}, at ${seconds(m.at)}`),
				m.bad ? svg("path", { d: `M${x} ${y - 5}l5 9h-10z` }) : svg("circle", { cx: x, cy: y, r: 3.5 })));
			this.text(flip ? x - 8 : x + 8, y + 4, m.label, `mark-text${m.bad ? " bad" : ""}`, flip ? "end" : "start");
		}
		if (this.model.missing.length) {
			const y = top + ends.length * MARK;
			this.text(this.label - 8, y + 13, `${this.model.missing.length} not there`, "row-label dim", "end");
			for (const m of this.model.missing)
				this.el.append(svg("path", { class: "missing", d: `M${this.x(m.at)} ${y + 4}v10` }, svg("title", null, `asked for ${m.path}${m.refused ? ", refused" : ", which is not there"}, at ${seconds(m.at)}`)));
			ends.push(0);
		}
		this.text(this.label - 8, top + 13, this.model.marks.length ? "events" : "", "row-label dim", "end");
		this.y = top + Math.max(1, ends.length) * MARK + 6;
	}

	shorten(path) {
		const max = Math.floor((this.label - 12) / 6.7);
		return path.length > max ? `\u2026${path.slice(-(max - 1))}` : path;
	}

	file(row, old) {
		const y = this.y, mid = y + ROW / 2;
		this.el.append(svg("text", { x: this.label - 8, y: mid + 4, class: "row-label mono", "text-anchor": "end" }, svg("title", null, row.path), this.shorten(row.path)));
		for (const p of old?.parts ?? [])
			this.el.append(svg("rect", { class: "file former", x: this.x(p.from), y: mid + 4, width: Math.max(2, this.x(p.to) - this.x(p.from)), height: 4 },
				svg("title", null, `the boot before: ${bytes(p.bytes)} in ${seconds(p.took)}`)));
		for (const p of row.parts) {
			this.el.append(svg("rect", { class: `file${p.failed ? " failed" : ""}`, data: { origin: p.origin, via: p.via }, rx: 2, x: this.x(p.from), y: mid - (old ? 7 : 6), width: Math.max(2, this.x(p.to) - this.x(p.from)), height: old ? 9 : 12 },
				svg("title", null, `${p.path}: ${bytes(p.bytes)} in ${seconds(p.took)}, ${rate(p.bytes / (p.took || 0.001))}${p.retransmits ? `, ${p.retransmits} packets sent again` : ""}${p.failed ? `, FAILED ${p.reason ?? ""}` : ""}`)));
			if (p.retransmits)
				this.el.append(svg("path", { class: "again", d: `M${this.x(p.to) + 2} ${mid - 6}l4 6l-4 6l-4-6z` }));
		}
		if (this.width >= 560)
			this.text(this.width - 2, mid + 4, `${bytes(row.bytes)}, ${seconds(row.took)}${row.retransmits ? ` \u25c6${row.retransmits}` : ""}`, `row-value${row.failed ? " bad" : ""}`, "end");
		this.y += ROW;
	}

	draw() {
		this.axis();
		this.band(this.model, this.label < 130 ? "time" : "who took the time", "");
		if (this.former) this.band(this.former, `boot ${this.former.boot}`, "former");
		this.marks();
		const old = new Map(this.former ? fileRows(this.former).map((r) => [r.path, r]) : []);
		for (const row of fileRows(this.model)) this.file(row, old.get(row.path));
		const height = this.y + 6;
		this.el.setAttribute("height", height);
		this.el.setAttribute("viewBox", `0 0 ${this.width} ${height}`);
		this.el.prepend(...this.ticks.map((x) => svg("path", { class: "grid-line", d: `M${x} ${AXIS - 4}V${height}` })));
		return this.el;
	}
}

function legend(model) {
	return h("ul", { class: "timeline-legend" }, Object.entries(WHO).filter(([k]) => model.of[k] !== undefined)
		.map(([k, words]) => h("li", null, h("span", { class: "swatch", data: { who: k } }), words, " ", h("b", null, seconds(model.of[k])))),
	model.retransmits ? h("li", null, h("span", { class: "again-mark", "aria-hidden": "true" }, "\u25c6"), "packets sent again ", h("b", null, model.retransmits)) : null);
}

// The same for who does not see the drawing, and to copy from.
function table(model, former) {
	const old = new Map(former ? fileRows(former).map((r) => [r.path, r]) : []);
	const head = ["File", "Bytes", "Took", "Rate", "Again", "From", ...(former ? [`Boot ${former.boot}`, "Differs"] : [])];
	return h("details", { class: "files", open: true }, h("summary", null, `${plural(fileRows(model).length, "file")}, ${bytes(model.bytes)}`),
		h("div", { class: "scroll" }, h("table", null, h("thead", null, h("tr", null, head.map((t, i) => h("th", { scope: "col", class: i && i !== 5 ? "num" : "" }, t)))),
			h("tbody", null, fileRows(model).map((r) => {
				const o = old.get(r.path), d = o ? r.took - o.took : null;
				return h("tr", { class: r.failed ? "bad" : "" }, h("td", { class: "mono" }, r.path, r.parts.length > 1 ? h("span", { class: "hint" }, ` \u00d7${r.parts.length}`) : null),
					h("td", { class: "num" }, bytes(r.bytes)), h("td", { class: "num" }, seconds(r.took)), h("td", { class: "num" }, rate(r.bytes / (r.took || 0.001))),
					h("td", { class: "num" }, r.retransmits || ""), h("td", null, r.origin, r.parts[0].via !== "tftp" ? `, ${r.parts[0].via}` : ""),
					former ? [h("td", { class: "num" }, o ? seconds(o.took) : "\u2013"),
						h("td", { class: `num ${d === null ? "" : d > 0.05 ? "slower" : d < -0.05 ? "faster" : ""}` }, d === null ? "\u2013" : `${d >= 0 ? "+" : "\u2212"}${seconds(Math.abs(d))}`)] : null);
			})))));
}

export function timelineTab(box, name) {
	const select = h("select", { "aria-label": "Boot" }), compare = h("input", { type: "checkbox", id: "compare" });
	const place = h("div", { class: "timeline-box" }), below = h("div"), key = h("div"), verdict = h("p", { class: "lead" });
	let boots = [], chosen = null, model = null, former = null, timer = 0, loading = false, drawnWidth = 0;

	put(box, h("div", { class: "tools" }, h("label", null, "Boot ", select), h("label", { class: "check", for: "compare" }, compare, "beside the one before")),
		verdict, key, place, below);

	async function load(n) {
		const list = await get(`/v1/events?board=${encodeURIComponent(name)}&boot=${n}&limit=20000`);
		return bootModel(list);
	}

	function words() {
		const m = model, before = former ? m.end - former.end : null;
		const how = m.up !== null ? `Up after ${seconds(m.up)}.` : m.mounted !== null ? `Root mounted after ${seconds(m.mounted)}.` : `Not there yet: ${seconds(m.end)} so far.`;
		const which = Object.entries(m.of).sort((a, b) => b[1] - a[1])[0];
		return `${how} ${which && m.end > 0.5 ? `Most of it: ${WHO[which[0]]}, ${seconds(which[1])}.` : ""}` +
			(before !== null ? ` ${seconds(Math.abs(before))} ${before > 0 ? "slower" : "faster"} than boot ${former.boot}.` : "");
	}

	function draw() {
		if (!model) return;
		drawnWidth = place.clientWidth || 700;
		setText(verdict, words());
		put(key, legend(model));
		put(place, new Drawing(model, former, drawnWidth).draw());
		const open = below.querySelector("details")?.open ?? true;
		put(below, table(model, former));
		below.querySelector("details").open = open;
	}

	async function show() {
		if (loading) return;
		loading = true;
		try {
			if (!boots.length) boots = (await get(`/v1/events?board=${encodeURIComponent(name)}&type=boot.start&limit=100`)).reverse();
			if (!boots.length) {
				put(place, empty("It has not booted yet", "What it fetches and waits for is drawn here, as it happens."));
				return;
			}
			const wanted = chosen ?? String(boots[0].boot);
			put(select, boots.map((b) => h("option", { value: b.boot, selected: String(b.boot) === wanted }, `${b.boot}: ${day(b.time)}`)));
			const at = boots.findIndex((b) => String(b.boot) === wanted), before = boots[at + 1];
			model = await load(wanted);
			former = compare.checked && before ? await load(before.boot) : null;
			compare.disabled = !before;
			draw();
		} catch (e) {
			put(place, failure(e, show));
		} finally {
			loading = false;
		}
	}

	select.addEventListener("change", () => {
		chosen = select.value;
		show();
	});
	compare.addEventListener("change", show);
	const sizes = new ResizeObserver(() => {
		if (model && Math.abs(place.clientWidth - drawnWidth) > 4) draw();
	});
	sizes.observe(place);
	show();
	const stop = watch((news) => {
		const mine = news.events.filter((e) => e.board === name);
		if (!mine.length) return;
		if (mine.some((e) => e.type === "boot.start")) {
			boots = [];
			chosen = null;
		}
		// at most each half second while it boots
		if (chosen === null || chosen === String(boots[0]?.boot)) timer ||= setTimeout(() => {
			timer = 0;
			show();
		}, 500);
	});
	return () => {
		stop();
		sizes.disconnect();
		clearTimeout(timer);
	};
}
