// SPDX-License-Identifier: Apache-2.0
// What the page knows of the fleet, kept fresh by GET /v1/live (server-sent events, read with fetch() so that a token can
// go along). News are gathered and given to the views once per frame.
import { get, lines, onToken, stream, board as boardPath } from "./api.js";
import { isStuck } from "./stages.js";

export const boards = new Map(); // name -> board, as the API gives it
export const extras = new Map(); // name -> { verdict, waiting, flashing }
export const store = { status: null, rate: 0, rates: [], connection: "connecting", since: Date.now(), error: null, loaded: false };
export const recent = [];        // the newest events, newest last
const RECENT_MAX = 200, RATES_MAX = 120;

const watchers = new Set();
let changed = new Set(), removed = new Set(), fresh = [], statusChanged = false, frame = 0;

// How long from the arrival of news until they are in the page; bramble's own tests read it, people may, too.
const delays = [], work = []; // work: of that, our own
const ages = []; // of events that just happened: from the daemon's note of it until it is seen here
export const perf = { updates: 0, max_ms: 0, last: delays, work, ages };
window.brambleperf = perf;
let arrivedAt = 0;

// fn({ changed: Set, removed: Set, events: [], status, connection, reservations: bool }) at most once per frame. Returns how to stop it.
export function watch(fn) {
	watchers.add(fn);
	return () => watchers.delete(fn);
}

let connectionChanged = false, reservationsChanged = false;

function flush() {
	frame = 0;
	const begun = performance.now();
	const news = { changed, removed, events: fresh, status: statusChanged, connection: connectionChanged, reservations: reservationsChanged };
	changed = new Set();
	removed = new Set();
	fresh = [];
	statusChanged = connectionChanged = reservationsChanged = false;
	for (const fn of [...watchers]) fn(news);
	for (const ev of news.events) if (ev.heard) ages.push(Date.now() - Date.parse(ev.time));
	if (ages.length > 20_000) ages.splice(0, 10_000);
	if (arrivedAt) {
		const ms = performance.now() - arrivedAt;
		arrivedAt = 0;
		work.push(performance.now() - begun);
		if (work.length > 5000) work.shift();
		perf.updates++;
		perf.max_ms = Math.max(perf.max_ms, ms);
		delays.push(ms);
		if (delays.length > 5000) delays.shift();
	}
}

function soon() {
	if (!arrivedAt) arrivedAt = performance.now();
	// no frames in a hidden page: its views need none either, but memory must not grow
	if (!frame) frame = document.hidden ? setTimeout(flush, 1000) : requestAnimationFrame(flush);
}

function extra(name) {
	let e = extras.get(name);
	if (!e) extras.set(name, (e = {}));
	return e;
}

function takeBoard(b) {
	const old = boards.get(b.name);
	boards.set(b.name, b);
	const e = extras.get(b.name);
	if (e && old?.boot && (old.boot.number !== b.boot?.number || old.boot.stage !== b.boot?.stage)) {
		e.waiting = false;
		if (e.verdict) suspect(b.name); // what was wrong may be over
	}
	changed.add(b.name);
}

function drop(name) {
	boards.delete(name);
	extras.delete(name);
	removed.add(name);
	changed.delete(name);
}

// ---- what is wrong, in words: asked for boards of which something looks so -----------------------------------------

const suspects = new Map(); // name -> when to ask
const ASK_AT_ONCE = 2, AGAIN_MS = 15_000;
let asking = 0;

export function suspect(name, inMs = 1500) {
	if (!suspects.has(name)) suspects.set(name, Date.now() + inMs);
}

async function askWhy(name) {
	asking++;
	try {
		const verdict = await get(boardPath(name, "/why"));
		const e = extra(name), before = e.verdict?.level;
		e.verdict = verdict;
		if (verdict.level === "wrong") suspects.set(name, Date.now() + AGAIN_MS);
		if (before !== verdict.level || verdict.level === "wrong") {
			changed.add(name);
			soon();
		}
	} catch {
		// the board is gone, or nobody watches the network: no verdict then
	}
	asking--;
}

setInterval(() => {
	const now = Date.now();
	if (document.hidden || store.connection !== "live") return;
	for (const b of boards.values())
		if (isStuck(b, now)) suspect(b.name, 0);
	for (const [name, at] of suspects) {
		if (asking >= ASK_AT_ONCE) return;
		if (at > now) continue;
		suspects.delete(name);
		if (boards.has(name)) askWhy(name);
	}
}, 250);

const TROUBLE = /^(nfs\.(trouble|refused)|file\.(failed|refused)|dhcp\.(full|conflict|unserved|decline)|share\.trouble|disk\.(full|small)|flash\.failed|usb\.failed|boot\.overrides|image\.changed|power\.failed|board\.(quarantined|failed))/;

function takeEvent(ev) {
	ev.heard = true;
	recent.push(ev);
	if (recent.length > RECENT_MAX) recent.shift();
	fresh.push(ev);
	if (ev.type === "file.sent") sent(ev.fields?.bytes ?? 0);
	if (!ev.board) return;
	const e = extra(ev.board);
	if (ev.type === "boot.waiting") e.waiting = true;
	else if (ev.type === "boot.start") e.waiting = false;
	if (ev.type === "flash.started") e.flashing = true;
	else if (ev.type.startsWith("flash.")) e.flashing = false;
	if (TROUBLE.test(ev.type)) suspect(ev.board);
	changed.add(ev.board);
}

// ---- throughput -----------------------------------------------------------------------------------------------------

let sentBytes = 0;
const sent = (n) => {
	sentBytes += n;
};

function takeStatus(status) {
	store.status = status;
	// the daemon counts what it sends; an older one does not, then finished files must do
	store.rate = status.rate?.bytes_per_s ?? sentBytes;
	sentBytes = 0;
	store.rates.push(store.rate);
	if (store.rates.length > RATES_MAX) store.rates.shift();
	statusChanged = true;
}

// ---- the stream -----------------------------------------------------------------------------------------------------

const TAKE = {
	event: takeEvent,
	boards: (list) => list.forEach(takeBoard),
	board: takeBoard,
	removed: (names) => names.forEach(drop),
	status: takeStatus,
	reservations: () => {
		reservationsChanged = true;
	},
	hello: () => reload(), // what changes while we read is told by the stream, which is open now
	resync: () => reload(), // news are lacking
};

// News that come while all is read are older or newer than what is read: they wait, and are taken after it.
let held = null;

function take(name, data) {
	if (held) held.push([name, data]);
	else TAKE[name](data);
}

async function reload() {
	const mine = (held = []), of = abort;
	let error = null;
	try {
		await loadAll();
	} catch (e) {
		error = e;
	}
	if (held !== mine) return; // there is another connection meanwhile
	held = null;
	if (of?.signal.aborted) return;
	if (error) {
		of?.abort();
		lost(error);
		return;
	}
	failures = 0;
	setConnection("live");
	loadTroubles();
	for (const [name, data] of mine) take(name, data);
	soon();
}

let abort = null, lastId = "", failures = 0, timer = 0, heardAt = 0;

// Fields of one event of the stream (HTML standard, 9.2.6), then a blank line.
function parser() {
	let name = "", data = [];
	return lines((raw) => {
		const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
		heardAt = Date.now();
		if (line === "") {
			if (data.length && TAKE[name]) {
				take(name, JSON.parse(data.join("\n")));
				soon();
			}
			name = "";
			data = [];
			return;
		}
		const at = line.indexOf(":"), key = at < 0 ? line : line.slice(0, at);
		const value = at < 0 ? "" : line.slice(at + 1).replace(/^ /, "");
		if (key === "event") name = value;
		else if (key === "data") data.push(value);
		else if (key === "id") lastId = value;
	});
}

function setConnection(state, error = null) {
	if (store.connection === state && !error) return;
	if (store.connection !== state) store.since = Date.now();
	store.connection = state;
	store.error = error;
	connectionChanged = true;
	soon();
}

async function loadAll() {
	const [list, status] = await Promise.all([get("/v1/boards"), get("/v1/status")]);
	const names = new Set(list.map((b) => b.name));
	for (const name of [...boards.keys()]) if (!names.has(name)) drop(name);
	list.forEach(takeBoard);
	takeStatus(status);
	store.loaded = true;
	soon();
}

// Whatever was wrong before this page was opened: the newest troubles say which boards to ask about.
async function loadTroubles() {
	if (recent.length) return;
	for (const verdict of await get("/v1/why?level=wrong").catch(() => [])) {
		if (!boards.has(verdict.board)) continue;
		extra(verdict.board).verdict = verdict;
		changed.add(verdict.board);
		suspect(verdict.board, AGAIN_MS);
	}
	const events = await get("/v1/events?limit=40").catch(() => []);
	if (!recent.length) recent.push(...events);
	fresh.push(...events);
	soon();
}

export async function connect() {
	clearTimeout(timer);
	abort?.abort();
	const mine = (abort = new AbortController());
	try {
		held = null;
		heardAt = Date.now();
		await stream("/v1/live", parser(), mine.signal, lastId ? { "Last-Event-ID": lastId } : {});
		if (!mine.signal.aborted) lost(null); // the daemon stopped
	} catch (e) {
		if (!mine.signal.aborted) lost(e);
	}
}

function lost(error) {
	failures++;
	store.retryAt = Date.now() + Math.min(10_000, 500 * 2 ** Math.min(failures, 5)) * (0.75 + Math.random() / 2);
	setConnection("lost", error);
	timer = setTimeout(connect, store.retryAt - Date.now());
}

// A stream that says nothing for long is broken: the daemon says its status each second.
setInterval(() => {
	if (store.connection === "live" && !document.hidden && Date.now() - heardAt > 15_000) {
		abort?.abort();
		lost(null);
	}
}, 2000);

// A browser has six connections to a server for all its tabs: one that nobody looks at gives its own back.
let hiddenTimer = 0;
document.addEventListener("visibilitychange", () => {
	clearTimeout(hiddenTimer);
	if (document.hidden) {
		hiddenTimer = setTimeout(() => {
			abort?.abort();
			clearTimeout(timer);
			setConnection("paused");
		}, 10_000);
	} else if (store.connection === "paused") {
		connect();
	}
});

onToken(() => connect());
