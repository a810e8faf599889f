// SPDX-License-Identifier: Apache-2.0
// To do something: ask first where it cannot be undone, then say how it went, there where the button is.
import { announce, failure, h, put } from "./dom.js";

// Resolves to true when the person says yes.
export function confirmed(title, words, yes) {
	return new Promise((resolve) => {
		let answer = false;
		const dialog = h("dialog", { "aria-labelledby": "confirm-title" },
			h("h2", { id: "confirm-title" }, title), h("p", null, words),
			h("div", { class: "buttons" },
				h("button", { type: "button", class: "danger", onclick: () => { answer = true; dialog.close(); } }, yes),
				h("button", { type: "button", autofocus: true, onclick: () => dialog.close() }, "Cancel")));
		dialog.addEventListener("close", () => {
			dialog.remove();
			resolve(answer);
		});
		document.body.append(dialog);
		dialog.showModal();
	});
}

// Runs it; place shows that it runs, what came of it, or why not.
export async function doing(place, done, run) {
	put(place, h("p", { class: "hint", role: "status" }, "\u2026"));
	try {
		const words = await run();
		const text = typeof words === "string" ? words : done;
		put(place, h("p", { class: "done" }, text));
		announce(text);
		return true;
	} catch (e) {
		put(place, failure(e));
		return false;
	}
}
