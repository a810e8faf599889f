// SPDX-License-Identifier: Apache-2.0
// Elements from plain values. Whatever comes from boards, images or people becomes text, never markup.

// Control characters as bramble writes them elsewhere (\x1b), and those that turn the direction of text, made visible: a name
// must not hide what it is.
export function show(text) {
	return String(text ?? "").replace(
		/[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (c) => {
			const n = c.codePointAt(0);
			if (n < 0x20 || n === 0x7f) return `\\x${n.toString(16).padStart(2, "0")}`;
			return `\u27e8U+${n.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
		});
}

function fill(el, props, children) {
	for (const [key, value] of Object.entries(props ?? {})) {
		if (value === undefined || value === null || value === false) continue;
		if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
		else if (key === "data") Object.assign(el.dataset, value);
		else if (key === "value" || key === "checked") el[key] = value;
		else el.setAttribute(key, value === true ? "" : show(value));
	}
	el.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false)
		.map((c) => (c instanceof Node ? c : document.createTextNode(show(c)))));
	return el;
}

// h("a", {class: "x", href: "#/", onclick: f}, "text", child, [more])
export function h(tag, props, ...children) {
	return fill(document.createElement(tag), props, children);
}

// The same for SVG.
export function svg(tag, props, ...children) {
	return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), props, children);
}

// New contents; text as text.
export function put(el, ...children) {
	el.replaceChildren();
	return fill(el, null, children);
}

// Only when it differs: a node that nobody touched needs no layout.
export function setText(el, text) {
	const s = show(text);
	if (el.textContent !== s) el.textContent = s;
}

export function setAttr(el, name, value) {
	const s = value === null || value === undefined ? null : show(value);
	if (s === null) el.removeAttribute(name);
	else if (el.getAttribute(name) !== s) el.setAttribute(name, s);
}

// A nothing that says what it is and what to do about it.
export function empty(title, ...words) {
	return h("div", { class: "empty" }, h("strong", null, title), words.length ? h("p", null, ...words) : null);
}

// What went wrong, where it is to be read, with the way out when there is one.
export function failure(error, again) {
	return h("div", { class: "failure", role: "alert" },
		h("strong", null, error.title ?? "That did not work"), h("p", null, error.message ?? String(error)),
		error.cure ? h("p", { class: "cure" }, error.cure) : null,
		error.status === 401 || error.status === 403
			? h("button", { type: "button", onclick: () => document.dispatchEvent(new Event("bramble-token")) }, "Enter a token") : null,
		again ? h("button", { type: "button", onclick: again }, "Try again") : null);
}

const announcer = () => document.getElementById("announcer");
let saidAt = 0;

// For who hears the page instead of seeing it; measured: a storm of news would be a storm of talk.
export function announce(text, atMostEachMs = 0) {
	const now = performance.now();
	if (atMostEachMs && now - saidAt < atMostEachMs) return;
	saidAt = now;
	setText(announcer(), text);
}
