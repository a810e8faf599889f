// SPDX-License-Identifier: Apache-2.0
// Calls of bramble's API. A token is the person's own: it lives in this tab until it is closed, and nowhere else.

const KEY = "bramble.token";
const listeners = new Set();

export class ApiError extends Error {
	constructor(status, code, words) {
		super(words);
		this.status = status;
		this.code = code;
		if (status === 401 || status === 403) {
			this.title = status === 401 ? "This needs a token" : "This token may not do that";
			this.cure = "Enter one here, or with the key button above.";
		} else if (code === "reserved") {
			this.title = "The board is reserved";
		}
	}
}

export function token() {
	return sessionStorage.getItem(KEY) ?? "";
}

export function setToken(text) {
	if (text) sessionStorage.setItem(KEY, text);
	else sessionStorage.removeItem(KEY);
	for (const fn of listeners) fn();
}

export const onToken = (fn) => listeners.add(fn);

function headers(more) {
	const t = token();
	return t ? { ...more, Authorization: `Bearer ${t}` } : more;
}

async function refused(response) {
	let words = `the server answered ${response.status}`, code = "failed";
	try {
		const body = await response.json();
		words = body.error ?? words;
		code = body.code ?? code;
	} catch {
		// no JSON: the status says enough
	}
	return new ApiError(response.status, code, words);
}

async function ask(path, options) {
	try {
		return await fetch(path, { cache: "no-store", credentials: "omit", ...options });
	} catch (e) {
		if (e.name === "AbortError") throw e;
		const error = new ApiError(0, "offline", "bramble does not answer.");
		error.title = "No connection";
		error.cure = "Is the server running, and is this computer still on its network?";
		throw error;
	}
}

export async function request(method, path, body, signal) {
	const more = body === undefined ? {} : { "Content-Type": "application/json" };
	const response = await ask(path, {
		method, signal, headers: headers(more), body: body === undefined ? undefined : JSON.stringify(body),
	});
	if (!response.ok) throw await refused(response);
	const text = await response.text();
	return text ? JSON.parse(text) : null;
}

export const get = (path, signal) => request("GET", path, undefined, signal);

// Bytes as they are, to write.
export async function send(path, data) {
	const response = await ask(path, {
		method: "POST", headers: headers({ "Content-Type": "application/octet-stream" }), body: data,
	});
	if (!response.ok) throw await refused(response);
}

// A stream: fn gets each piece (bytes). Ends when the server or the signal ends it.
export async function stream(path, fn, signal, more = {}) {
	const response = await ask(path, { signal, headers: headers(more) });
	if (!response.ok) throw await refused(response);
	const reader = response.body.getReader();
	for (;;) {
		const { done, value } = await reader.read();
		if (done) return;
		fn(value);
	}
}

// Pieces to lines, whatever the pieces are.
export function lines(fn) {
	const decoder = new TextDecoder();
	let rest = "";
	return (piece) => {
		const parts = (rest + decoder.decode(piece, { stream: true })).split("\n");
		rest = parts.pop();
		for (const line of parts) fn(line);
	};
}

// JSON lines; an empty one is a sign of life.
export const jsonLines = (fn) => lines((line) => {
	if (line.trim()) fn(JSON.parse(line));
});

export const part = encodeURIComponent;
export const board = (name, rest = "") => `/v1/boards/${part(name)}${rest}`;
