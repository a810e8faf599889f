// SPDX-License-Identifier: Apache-2.0
// The frame of the page: which view is shown, whether news come, who may act.
import { get, onToken, setToken, token } from "./api.js";
import { boardView } from "./board.js";
import { announce, failure, h, put, setText } from "./dom.js";
import { activityView } from "./activity.js";
import { fleetView } from "./fleet.js";
import { clock } from "./format.js";
import { imagesView } from "./images.js";
import { connect, store, watch } from "./live.js";
import { logsView } from "./logs.js";
import { reservationsView } from "./reservations.js";

// A view gets its place, the rest of the address and its query, and gives back how to end it.
const VIEWS = [
	{ path: "", label: "Fleet", run: fleetView, nav: true },
	{ path: "board", label: "Board", run: boardView },
	{ path: "logs", label: "Logs", run: logsView, nav: true },
	{ path: "activity", label: "Activity", run: activityView, nav: true },
	{ path: "images", label: "Images", run: imagesView, nav: true },
	{ path: "reservations", label: "Reservations", run: reservationsView, nav: true },
];

const main = document.getElementById("main");
let end = null, current = null;

// "#/board/pi07/logs?grep=x" -> the view, ["pi07", "logs"], {grep: "x"}
function read(hash) {
	const [path, query] = hash.replace(/^#\/?/, "").split("?");
	const words = path.split("/").filter(Boolean).map((w) => {
		try {
			return decodeURIComponent(w);
		} catch {
			return w;
		}
	});
	const view = VIEWS.find((v) => v.path === (words[0] ?? ""));
	return { view, words: words.slice(1), query: new URLSearchParams(query ?? "") };
}

function nav() {
	const at = read(location.hash).view;
	put(document.getElementById("nav"), VIEWS.filter((v) => v.nav).map((v) =>
		h("a", { href: `#/${v.path}`, "aria-current": v === at || (v.path === "" && at?.path === "board") ? "page" : null }, v.label)));
}

function go() {
	// the skip link is an anchor of the page, not an address of ours
	if (location.hash === "#main") {
		main.focus();
		return;
	}
	const { view, words, query } = read(location.hash);
	const key = `${view?.path}/${words[0] ?? ""}`;
	if (end?.update && key === current) {
		end.update(words, query); // the same board, another tab
		return;
	}
	end?.stop?.();
	end = null;
	put(main);
	main.className = `view-${view?.path || "fleet"}`;
	nav();
	if (!view) {
		main.append(h("h1", null, "Nothing is here"), h("p", null, "This address leads nowhere. ", h("a", { href: "#/" }, "Go to the fleet")));
		return;
	}
	try {
		end = view.run(main, words, query) ?? null;
	} catch (e) {
		put(main, failure(e, go));
		throw e;
	}
	document.title = `${words[0] ?? view.label} \u00b7 bramble`;
	if (current !== null) {
		main.focus({ preventScroll: true });
		window.scrollTo(0, 0);
		announce(words[0] ? `${view.label} ${words[0]}` : view.label);
	}
	current = key;
}

// ---- whether news come ------------------------------------------------------------------------------------------

const CONNECTION = { live: "live", connecting: "connecting", lost: "no connection", paused: "paused" };
const banner = document.getElementById("banner");

function connection() {
	const box = document.getElementById("connection");
	box.dataset.state = store.connection;
	setText(document.getElementById("connection-text"), CONNECTION[store.connection]);
	const lost = store.connection === "lost";
	document.body.classList.toggle("stale", lost);
	if (!lost) {
		banner.hidden = true;
		return;
	}
	if (store.error?.status === 401 || store.error?.status === 403) {
		put(banner, h("strong", null, store.error.title), ` ${store.error.message} `,
			h("button", { type: "button", onclick: askToken }, "Enter a token"));
	} else {
		put(banner, h("strong", null, "No connection to bramble."),
			` What you see is of ${clock(store.since)}; it tries again by itself. `,
			h("button", { type: "button", onclick: connect }, "Try now"));
	}
	banner.hidden = false;
}

watch((news) => news.connection && connection());

// ---- who may act ------------------------------------------------------------------------------------------------

const SCOPES = { read: "Read only", operate: "May operate", admin: "May do all" };

async function whoami() {
	const button = document.getElementById("token-text");
	if (!token()) {
		setText(button, "Read only");
		return null;
	}
	try {
		const me = await get("/v1/whoami");
		setText(button, SCOPES[me.scope] ?? me.scope ?? "Token set");
		return me;
	} catch (e) {
		setText(button, e.status === 404 ? "Token set" : "Token refused");
		return e.status === 404 ? {} : e;
	}
}

export function askToken() {
	const input = h("input", { type: "password", id: "token", autocomplete: "off", spellcheck: "false", value: token() });
	const result = h("p", { class: "hint", role: "status" });
	const dialog = h("dialog", { "aria-labelledby": "token-title" },
		h("form", { method: "dialog" },
			h("h2", { id: "token-title" }, "To act, a token"),
			h("p", null, "Everybody on this network may look. To change something, enter a token that ",
				h("code", null, "bramble token new"), " printed. It is kept in this tab until you close it."),
			h("label", { for: "token" }, "Token"), input, result,
			h("div", { class: "buttons" },
				h("button", { type: "submit", class: "primary" }, "Use it"),
				h("button", { type: "button", onclick: () => { setToken(""); dialog.close(); } }, "Forget it"),
				h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"))));
	dialog.querySelector("form").addEventListener("submit", async (e) => {
		e.preventDefault();
		setToken(input.value.trim());
		const me = await whoami();
		if (me instanceof Error) setText(result, `${me.title ?? "Refused"}: ${me.message}`);
		else dialog.close();
	});
	dialog.addEventListener("close", () => dialog.remove());
	document.body.append(dialog);
	dialog.showModal();
}

document.getElementById("token-button").addEventListener("click", askToken);
document.addEventListener("bramble-token", askToken);
onToken(whoami);

// ---- keys ---------------------------------------------------------------------------------------------------------

document.addEventListener("keydown", (e) => {
	if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey) return;
	const typing = e.target.closest?.("input, textarea, select, dialog, [contenteditable], .terminal");
	if (e.key === "/" && !typing) {
		const box = main.querySelector("input[type=search]");
		if (box) {
			e.preventDefault();
			box.focus();
			box.select();
		}
	} else if (e.key === "Escape" && e.target.matches?.("input[type=search]")) {
		e.target.blur();
	}
});

window.addEventListener("hashchange", go);
whoami();
connection();
go();
connect();
