// SPDX-License-Identifier: Apache-2.0
// From the events of one boot to what is drawn of it: who waited for whom, each file, what else happened. No page in here.

const S = 1e-3;
const AFTER_MOUNT_S = 180; // what comes later is the system's life, not its boot

const MARKS = {
	"dhcp.offer": (f) => `address for ${f.client ?? f.proxied ?? "it"}`,
	"dhcp.nak": (f) => `address refused to ${f.client}`,
	"nfs.mounted": () => "root mounted",
	"nfs.refused": () => "mount refused",
	"nfs.trouble": (f) => f.reason ?? "trouble with its root",
	"board.up": () => "up",
	"usb.found": () => "found on USB",
	"usb.done": () => "booted over USB",
	"usb.failed": () => "USB boot failed",
	"flash.started": () => "writes its storage",
	"flash.verified": () => "storage verified",
	"flash.failed": () => "flash failed",
	"boot.overrides": () => "without some overrides",
};
const BAD = /(nak|refused|trouble|failed|overrides)$/;

function fileOf(ev, at) {
	const f = ev.fields ?? {}, took = (f.ms ?? 0) * S;
	return {
		path: String(f.path ?? "?"), from: Math.max(0, at - took), to: at, bytes: f.bytes ?? 0, took, retransmits: f.retransmits ?? 0,
		origin: f.origin ?? "", via: f.via ?? "tftp", failed: ev.type === "file.failed", reason: f.reason,
	};
}

// Intervals in order, those that touch as one.
function merged(list) {
	const out = [];
	for (const [from, to] of [...list].sort((a, b) => a[0] - b[0])) {
		const last = out.at(-1);
		if (last && from <= last[1]) last[1] = Math.max(last[1], to);
		else out.push([from, to]);
	}
	return out;
}

// Who it was that took the time: its turn, the wire, the board itself; from the mount on its system.
function bandsOf(model, waiting) {
	const bands = [], up = model.end;
	const busy = merged([...waiting.map((w) => [...w, "turn"]), ...model.files.map((f) => [f.from, f.to])]);
	let at = 0;
	const rest = (to) => {
		const split = model.mounted !== null && model.mounted > at && model.mounted < to ? model.mounted : null;
		const who = (t) => (model.mounted !== null && t >= model.mounted ? "system" : "board");
		if (split !== null) {
			bands.push({ from: at, to: split, who: who(at) }, { from: split, to, who: "system" });
		} else if (to > at) {
			bands.push({ from: at, to, who: who(at) });
		}
	};
	for (const [from, to] of busy) {
		const end = Math.min(to, up);
		if (from >= up) break;
		rest(from);
		const turn = waiting.some(([a, b]) => from >= a && end <= b + 0.001);
		if (end > Math.max(at, from)) bands.push({ from: Math.max(at, from), to: end, who: turn ? "turn" : "wire" });
		at = Math.max(at, end);
	}
	rest(up);
	// a file of no time is no border
	return bands.reduce((out, b) => {
		if (out.at(-1)?.who === b.who) out.at(-1).to = b.to;
		else out.push(b);
		return out;
	}, []);
}

export function bootModel(events) {
	const list = [...events].sort((a, b) => a.seq - b.seq);
	if (!list.length) return null;
	const begin = list.find((e) => e.type === "boot.start") ?? list[0];
	const t0 = Date.parse(begin.time);
	const files = [], marks = [], missing = [], waits = [];
	let mounted = null, up = null, last = 0;
	for (const ev of list) {
		const at = Math.max(0, (Date.parse(ev.time) - t0) * S), f = ev.fields ?? {};
		if (mounted !== null && at > mounted + AFTER_MOUNT_S) break;
		if (ev.type === "file.sent" || ev.type === "file.failed") files.push(fileOf(ev, at));
		else if (ev.type === "file.missing" || ev.type === "file.refused") missing.push({ at, path: String(f.path ?? "?"), refused: ev.type === "file.refused" });
		else if (ev.type === "boot.waiting") waits.push(at);
		else if (MARKS[ev.type]) marks.push({ at, type: ev.type, label: MARKS[ev.type](f), bad: BAD.test(ev.type) });
		if (ev.type === "nfs.mounted" && mounted === null) mounted = at;
		if (ev.type === "board.up" && up === null) up = at;
		last = at;
	}
	const model = { boot: begin.boot, image: begin.fields?.image, startedAt: begin.time, files, marks, missing, mounted, up, end: Math.max(up ?? last, 0.001) };
	const active = [...files.map((x) => x.from), ...marks.map((m) => m.at)].sort((a, b) => a - b);
	const waiting = waits.map((w) => [w, active.find((a) => a > w) ?? model.end]);
	model.bands = bandsOf(model, merged(waiting));
	model.bytes = files.reduce((n, x) => n + x.bytes, 0);
	model.retransmits = files.reduce((n, x) => n + x.retransmits, 0);
	model.of = {};
	for (const b of model.bands) model.of[b.who] = (model.of[b.who] ?? 0) + b.to - b.from;
	return model;
}

// The rows of the drawing: a file is one, however often it was fetched.
export function fileRows(model) {
	const rows = new Map();
	for (const f of model.files) {
		if (!rows.has(f.path)) rows.set(f.path, { path: f.path, parts: [], bytes: 0, took: 0, retransmits: 0, failed: false, origin: f.origin });
		const row = rows.get(f.path);
		row.parts.push(f);
		row.bytes += f.bytes;
		row.took += f.took;
		row.retransmits += f.retransmits;
		row.failed ||= f.failed;
	}
	return [...rows.values()];
}
