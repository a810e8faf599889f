// SPDX-License-Identifier: Apache-2.0
// Lines of boards: what their systems, kernels, loaders and serial lines said, live and searched.
import { jsonLines, stream } from "./api.js";
import { announce, empty, failure, h, put, setText, show } from "./dom.js";
import { clock, day, plural } from "./format.js";
import { store } from "./live.js";

const KEEP = 4000; // lines in the page
const PAGE = 1000; // lines asked for at once
const SEVERITY = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];
const SOURCES = ["", "syslog", "kernel", "serial", "uboot", "bootloader", "stream"];

// The text with what was searched for marked; a pattern that this browser does not know marks nothing.
function marked(text, re) {
	if (!re) return [show(text)];
	const out = [], s = show(text);
	let at = 0;
	for (const m of s.matchAll(re)) {
		if (!m[0]) continue;
		out.push(s.slice(at, m.index), h("mark", null, m[0]));
		at = m.index + m[0].length;
		if (out.length > 100) break;
	}
	out.push(s.slice(at));
	return out;
}

function severityName(line) {
	return typeof line.severity === "number" ? SEVERITY[line.severity] : line.severity ?? "";
}

function row(line, re, one) {
	if (line.event) {
		return h("li", { class: "log-event" }, h("time", { datetime: line.event.time }, clock(line.event.time, true)), " ",
			h("span", { class: "event-text" }, line.event.text ?? line.event.type));
	}
	const severity = severityName(line);
	return h("li", { data: { severity } }, h("time", { datetime: line.time, title: day(line.time) }, clock(line.time, true)), " ",
		one ? null : [line.board ? h("a", { href: `#/board/${encodeURIComponent(line.board)}/log` }, line.board) : h("span", { class: "hint" }, line.ip ?? "?"), " "],
		h("span", { class: "log-source" }, [line.source, line.stream].filter(Boolean).join(" ")), " ", h("span", { class: "log-text" }, marked(line.text ?? "", re)));
}

// first: {boards, grep, source, follow}; one: a board's own log, without a field for boards
export function logsPanel(box, first, one = false) {
	const list = h("ol", { class: "log", tabindex: "0", "aria-label": "Lines" });
	const status = h("span", { class: "hint", role: "status" });
	const input = (name, label, more) => h("input", { type: "search", name, value: first[name] ?? "", "aria-label": label, placeholder: label, autocomplete: "off", spellcheck: "false", ...more });
	const grep = input("grep", "Search (regular expression)"), names = one ? null : input("boards", "Boards: pi[01-24]", { type: "text" });
	const source = h("select", { "aria-label": "Source" }, SOURCES.map((s) => h("option", { value: s, selected: first.source === s }, s || "all sources")));
	const since = h("select", { "aria-label": "How far back" }, [["", "all there is"], ["5m", "5 minutes"], ["1h", "1 hour"], ["24h", "a day"]].map(([v, l]) => h("option", { value: v }, l)));
	const follow = h("input", { type: "checkbox", id: "follow", checked: first.follow ?? true });
	const form = h("form", { class: "tools", role: "search" }, grep, names, source, since, h("label", { class: "check", for: "follow" }, follow, "follow"),
		h("button", { type: "submit" }, "Search"), status);
	let abort = null, re = null, waiting = [], frame = 0, count = 0, timer = 0, dropped = 0, lastSeq = 0;

	put(box, form, list);

	function query(more) {
		const q = new URLSearchParams();
		const b = one ? first.boards : names.value.trim();
		if (b) q.set("boards", b);
		if (grep.value) q.set("grep", grep.value);
		if (source.value) q.set("source", source.value);
		if (since.value) q.set("since", since.value);
		for (const [k, v] of Object.entries(more)) q.set(k, v);
		return q;
	}

	// Once per frame; the newest stay, and the view stays at the end when it was there.
	function flush() {
		frame = 0;
		const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - 40;
		if (count === 0 && waiting.length) put(list);
		const now = waiting.splice(0);
		if (now.length > KEEP) {
			dropped += now.length - KEEP;
			now.splice(0, now.length - KEEP);
		}
		count += now.length;
		list.append(...now.map((l) => row(l, re, one)));
		while (list.childElementCount > KEEP) {
			list.firstElementChild.remove();
			dropped++;
		}
		if (atEnd) list.scrollTop = list.scrollHeight;
		setText(status, `${plural(count, "line")}${dropped ? `, ${dropped} older ones not shown` : ""}`);
	}

	function take(line) {
		if (line.more || line.gone) return; // words about the list, not of a board
		if (line.seq) lastSeq = line.seq;
		waiting.push(line);
		if (waiting.length > 4 * KEEP) dropped += waiting.splice(0, waiting.length - KEEP).length;
		frame ||= document.hidden ? setTimeout(flush, 1000) : requestAnimationFrame(flush);
	}

	async function load(again = false) {
		clearTimeout(timer);
		abort?.abort();
		const mine = (abort = new AbortController());
		if (!again) {
			waiting = [];
			count = dropped = lastSeq = 0;
			put(list, h("li", { class: "hint" }, "\u2026"));
		}
		try {
			re = grep.value ? new RegExp(grep.value, "gu") : null;
		} catch {
			re = null; // the server's words say what it thinks of it
		}
		const live = follow.checked, q = query(again && lastSeq ? { after: lastSeq } : { limit: PAGE });
		if (live) q.set("follow", "1");
		const begun = performance.now();
		if (!live) timer = setTimeout(() => setText(status, "searching \u2026"), 300);
		try {
			await stream(`/v1/logs?${q}`, jsonLines(take), mine.signal);
			clearTimeout(timer);
			if (mine.signal.aborted) return;
			if (frame) cancelAnimationFrame(frame);
			flush();
			if (!count) {
				put(list, h("li", null, empty(grep.value ? "No line fits the search" : "No lines yet",
					"Boards write here by syslog, netconsole, their serial line or bramble-log.")));
				setText(status, "nothing found");
			} else if (!live) {
				setText(status, `${plural(count, "line")} in ${Math.round(performance.now() - begun)} ms`);
				announce(status.textContent);
			}
			if (live && !mine.signal.aborted) timer = setTimeout(() => load(true), 3000); // the stream broke: go on behind the last line
		} catch (e) {
			clearTimeout(timer);
			if (mine.signal.aborted) return;
			if (live && e.code === "offline") {
				setText(status, "no connection");
				timer = setTimeout(() => load(true), 3000);
			} else {
				put(list, h("li", null, failure(e, () => load())));
			}
		}
	}

	// A follower that hears nothing yet says so.
	const quiet = setInterval(() => {
		if (follow.checked && !count && list.firstElementChild?.className === "hint" && store.connection === "live") {
			put(list, h("li", null, empty("No lines yet", "Boards write here by syslog, netconsole, their serial line or bramble-log.")));
			setText(status, "waiting for lines");
		}
	}, 1000);

	form.addEventListener("submit", (e) => {
		e.preventDefault();
		load();
	});
	for (const el of [source, since, follow]) el.addEventListener("change", () => load());
	load();
	return () => {
		abort?.abort();
		clearTimeout(timer);
		clearInterval(quiet);
		if (frame) cancelAnimationFrame(frame);
	};
}

export function logsView(main, words, query) {
	const box = h("div", { class: "log-view" });
	main.append(h("h1", null, "Logs"), box);
	const stop = logsPanel(box, { boards: query.get("boards") ?? "", grep: query.get("grep") ?? "", source: query.get("source") ?? "", follow: query.get("follow") !== "0" });
	return { stop };
}
