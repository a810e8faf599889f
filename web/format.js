// SPDX-License-Identifier: Apache-2.0
// Numbers and times as people read them.

const UNITS = ["B", "kB", "MB", "GB", "TB"];

export function bytes(n) {
	if (typeof n !== "number" || !Number.isFinite(n)) return "\u2013";
	let i = 0;
	while (n >= 1000 && i < UNITS.length - 1) {
		n /= 1000;
		i++;
	}
	return `${i && n < 10 ? n.toFixed(1) : Math.round(n)} ${UNITS[i]}`;
}

export const rate = (n) => `${bytes(n)}/s`;

// 0.004 -> "4 ms", 12.34 -> "12.3 s", 95 -> "1 min 35 s"
export function seconds(s) {
	if (typeof s !== "number" || !Number.isFinite(s)) return "\u2013";
	if (s < 0.001) return "0 ms";
	if (s < 1) return `${Math.round(s * 1000)} ms`;
	if (s < 60) return `${s < 10 ? s.toFixed(2) : s.toFixed(1)} s`;
	if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
	if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
	return `${Math.floor(s / 86400)} d ${Math.round((s % 86400) / 3600)} h`;
}

// Without fractions, for what changes by itself.
export function about(s) {
	if (s < 1) return "now";
	if (s < 60) return `${Math.round(s)} s`;
	if (s < 3600) return `${Math.round(s / 60)} min`;
	if (s < 86400) return `${Math.round(s / 3600)} h`;
	return `${Math.round(s / 86400)} d`;
}

export function ago(time, now = Date.now()) {
	if (!time) return "never";
	const s = Math.max(0, (now - Date.parse(time)) / 1000);
	return s < 1 ? "now" : `${about(s)} ago`;
}

const pad = (n, width = 2) => String(n).padStart(width, "0");

export function clock(time, fraction = false) {
	const d = new Date(time);
	if (Number.isNaN(d.getTime())) return "\u2013";
	const s = `${pad(d.getHours())}:${pad(d.getMinutes())}:${pad(d.getSeconds())}`;
	return fraction ? `${s}.${pad(d.getMilliseconds(), 3)}` : s;
}

export function day(time) {
	const d = new Date(time);
	if (Number.isNaN(d.getTime())) return "\u2013";
	return `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${clock(time)}`;
}

export const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

// pi2 before pi10
const collator = new Intl.Collator("en", { numeric: true });
export const byName = (a, b) => collator.compare(a, b);
