// SPDX-License-Identifier: Apache-2.0
// A board's serial line. What it sends is shown as text: lines, carriage returns and backspaces work, every other control
// character is left out or shown, nothing is obeyed. Many watch; one writes, with a token.
import { board as boardPath, get, request, send, stream } from "./api.js";
import { empty, failure, h, put, setText, show } from "./dom.js";
import { clock } from "./format.js";

const KEEP = 3000; // lines

// Well-formed ANSI sequences (ECMA-48): colours and cursors, OSC titles, two-byte ones.
// eslint-disable-next-line no-control-regex
const SEQUENCE = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\^_])/g;

// Bytes to lines. The last line is the one being written.
export class Screen {
	constructor() {
		this.lines = [""];
		this.column = 0;
		this.raw = false; // show the sequences instead of leaving them out
		this.rest = "";
	}

	// A sequence cut by the end of a piece waits for the next one.
	take(text) {
		text = this.rest + text;
		this.rest = "";
		const at = text.lastIndexOf("\u001b");
		if (at >= 0 && text.length - at < 200 && !new RegExp(SEQUENCE.source).test(text.slice(at))) {
			this.rest = text.slice(at);
			text = text.slice(0, at);
		}
		if (!this.raw) text = text.replace(SEQUENCE, "");
		for (const c of text) this.put(c);
		if (this.lines.length > KEEP) this.lines.splice(0, this.lines.length - KEEP);
	}

	put(c) {
		if (c === "\n") {
			this.lines.push("");
			this.column = 0;
		} else if (c === "\r") {
			this.column = 0;
		} else if (c === "\b") {
			this.column = Math.max(0, this.column - 1);
		} else if (c === "\t") {
			do this.put(" "); while (this.column % 8);
		} else if (c !== "\u0007" && c !== "\u0000") {
			const line = [...this.lines.at(-1)];
			for (const v of show(c)) line[this.column++] = v;
			this.lines[this.lines.length - 1] = line.join("");
		}
	}
}

export function consoleTab(box, name) {
	const screen = new Screen();
	const out = h("pre", { class: "terminal", tabindex: "0", "aria-label": `Serial console of ${name}` });
	const status = h("p", { class: "hint", role: "status" });
	const raw = h("input", { type: "checkbox", id: "raw" });
	const input = h("input", { type: "text", placeholder: "A line to send", "aria-label": "A line to send to the board", autocomplete: "off", spellcheck: "false" });
	const result = h("div");
	const nothing = empty("It has no console", "Give it one under Settings: ", h("code", null, "tty:/dev/ttyUSB0"), " for a cable of this server, ", h("code", null, "rfc2217://HOST:PORT"), " for a serial server; docs/console.md has them all.");
	nothing.hidden = true;
	const form = h("form", { class: "tools" }, input, h("button", { type: "submit", class: "primary" }, "Send"),
		h("button", { type: "button", onclick: () => write("\u0003") }, "Ctrl-C"), h("button", { type: "button", onclick: () => write("\u0004") }, "Ctrl-D"),
		h("label", { class: "check", for: "raw" }, raw, "show escape sequences"));
	const decoder = new TextDecoder();
	let abort = null, timer = 0, frame = 0, writer = null, ended = false;

	function draw() {
		frame = 0;
		const atEnd = out.scrollTop + out.clientHeight >= out.scrollHeight - 40;
		// each line made safe in Screen.put(); line ends are ours
		out.textContent = screen.lines.join("\n");
		if (atEnd) out.scrollTop = out.scrollHeight;
	}

	async function watch() {
		abort?.abort();
		const mine = (abort = new AbortController());
		try {
			screen.lines = [""];
			screen.column = 0;
			await stream(boardPath(name, "/console?follow=1&tail=65536&notes=1"), (piece) => {
				screen.take(decoder.decode(piece, { stream: true }));
				frame ||= requestAnimationFrame(draw);
			}, mine.signal);
			if (!ended) timer = setTimeout(watch, 3000);
		} catch (e) {
			if (mine.signal.aborted || ended) return;
			if (e.code === "offline") timer = setTimeout(watch, 3000);
			else put(result, failure(e, watch));
		}
	}

	async function how() {
		try {
			const s = await get(boardPath(name, "/console/status"));
			const none = s.state === "none";
			out.hidden = form.hidden = none;
			nothing.hidden = !none;
			const words = { none: "", up: "connected", away: "away", connecting: "connecting" };
			setText(status, [words[s.state] ?? s.state, s.reason, s.since && s.state !== "none" ? `since ${clock(s.since)}` : "",
				s.watchers ? `${s.watchers} watching` : "", s.writer ? `${s.writer} writes` : ""].filter(Boolean).join(", "));
		} catch {
			setText(status, "");
		}
	}

	// Who writes holds the line for some seconds after the last key; a claim that ran out is made anew.
	async function claim(steal) {
		writer = (await request("POST", boardPath(name, "/console/claim"), { who: "the web page", steal })).writer;
	}

	async function trySend(text, steal) {
		if (writer && !steal) {
			try {
				await send(boardPath(name, `/console?writer=${encodeURIComponent(writer)}`), text);
				return;
			} catch (e) {
				if (e.status !== 409) throw e;
			}
		}
		await claim(steal);
		await send(boardPath(name, `/console?writer=${encodeURIComponent(writer)}`), text);
	}

	async function write(text, steal = false) {
		try {
			await trySend(text, steal);
			put(result);
		} catch (e) {
			const box = failure(e);
			if (e.code === "busy" && !steal) box.append(h("button", { type: "button", onclick: () => write(text, true) }, "Take the line over"));
			put(result, box);
		}
	}

	form.addEventListener("submit", (e) => {
		e.preventDefault();
		const text = `${input.value}\r`;
		input.value = "";
		write(text);
	});
	raw.addEventListener("change", () => {
		screen.raw = raw.checked;
		watch();
	});
	put(box, status, nothing, out, form, result);
	watch();
	how();
	const poll = setInterval(() => document.hidden || how(), 3000);
	return () => {
		ended = true;
		abort?.abort();
		clearTimeout(timer);
		clearInterval(poll);
		if (writer) request("DELETE", boardPath(name, `/console/claim?writer=${encodeURIComponent(writer)}`)).catch(() => {});
	};
}
