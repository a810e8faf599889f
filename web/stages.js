// SPDX-License-Identifier: Apache-2.0
// How far a board is, as the page shows it: a shape, a colour (style.css, by data-state) and words.

// In the order of a boot; what needs a person comes first.
export const STATES = [
	{ id: "wrong", label: "needs attention", short: "attention" },
	{ id: "waiting", label: "waits its turn", short: "waiting" },
	{ id: "firmware-dhcp", label: "firmware asks", short: "firmware" },
	{ id: "bootcode-dhcp", label: "bootcode asks", short: "bootcode" },
	{ id: "firmware-files", label: "firmware loads", short: "loading" },
	{ id: "kernel-sent", label: "kernel sent", short: "kernel" },
	{ id: "kernel-dhcp", label: "kernel asks", short: "kernel up" },
	{ id: "flash", label: "writes its storage", short: "flashing" },
	{ id: "mounted", label: "root mounted", short: "mounted" },
	{ id: "up", label: "up", short: "up" },
	{ id: "local", label: "boots by itself", short: "local" },
	{ id: "none", label: "no boot yet", short: "idle" },
];

export const STATE = Object.fromEntries(STATES.map((s) => [s.id, s]));
const EARLY = new Set(["firmware-dhcp", "bootcode-dhcp", "firmware-files", "kernel-sent", "kernel-dhcp"]);

// extra: what the live stream told beside the board itself (live.js)
export function stateOf(board, extra) {
	const stage = board.boot?.stage;
	if (extra?.verdict?.level === "wrong") return "wrong";
	if (extra?.waiting) return "waiting";
	if (extra?.flashing) return "flash";
	if (stage && stage !== "none" && STATE[stage]) return stage;
	return board.effective?.road === "local" ? "local" : "none";
}

const STALLED_MS = 300_000;  // a boot that did nothing for so long does not boot any more
const SETTLING_MS = 60_000; // between the root's mount and the system being up

export function isBooting(board, state, now) {
	const age = now - Date.parse(board.boot?.stage_at ?? 0);
	if (state === "waiting" || state === "flash") return true;
	if (EARLY.has(state)) return age < STALLED_MS;
	return state === "mounted" && age < SETTLING_MS;
}

// A boot that stands still for so long is asked about.
export function isStuck(board, now) {
	return EARLY.has(board.boot?.stage) && now - Date.parse(board.boot.stage_at) > 15_000;
}
