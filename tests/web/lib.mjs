// SPDX-License-Identifier: Apache-2.0
// What the scenarios share: the browser, what must never happen in it, the talk with the test that started it.
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

export const settings = JSON.parse(process.argv[2]);
const told = [], waiting = [];

createInterface({ input: process.stdin }).on("line", (line) => {
	const m = JSON.parse(line);
	const at = waiting.findIndex((w) => w.what === m.what);
	if (at >= 0) waiting.splice(at, 1)[0].resolve(m);
	else told.push(m);
});

export function say(what, more = {}) {
	process.stdout.write(`${JSON.stringify({ what, ...more })}\n`);
}

// What the test says when it has done its part.
export function hear(what) {
	const at = told.findIndex((m) => m.what === what);
	return at >= 0 ? Promise.resolve(told.splice(at, 1)[0]) : new Promise((resolve) => waiting.push({ what, resolve }));
}

export const figure = (figures) => say("figures", { figures });

export function check(truth, words) {
	if (!truth) throw new Error(words);
}

// Polls until fn() gives something true; the words say what was waited for.
export async function until(fn, words, ms = 15_000) {
	const end = Date.now() + ms;
	for (;;) {
		const value = await fn();
		if (value) return value;
		if (Date.now() > end) throw new Error(`after ${ms} ms still not: ${words}`);
		await new Promise((r) => setTimeout(r, 50));
	}
}

export function percentile(list, p) {
	const sorted = [...list].sort((a, b) => a - b);
	return sorted.length ? Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] * 10) / 10 : null;
}

// A refusal that a scenario asked for is written to the console by the browser; nothing else may be.
const REFUSAL = /^Failed to load resource: the server responded with a status of (401|403|404|405|409)/;
const OFFLINE = /^Failed to load resource: net::ERR_|ERR_(INCOMPLETE_CHUNKED|CONNECTION|EMPTY_RESPONSE|NETWORK_CHANGED)/;

export class Browser {
	async start() {
		this.browser = await chromium.launch({
			executablePath: "/usr/bin/chromium",
			args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"],
		});
		this.wrong = [];
		return this;
	}

	async page(options = {}) {
		const context = await this.browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
		const page = await context.newPage();
		page.on("console", (m) => {
			const text = m.text();
			if (m.type() === "error" && !REFUSAL.test(text) && !(this.mayBeOffline && OFFLINE.test(text))) this.wrong.push(`console: ${text}`);
		});
		page.on("pageerror", (e) => this.wrong.push(`exception: ${e.message}`));
		page.on("dialog", (d) => {
			this.wrong.push(`a dialog of the browser: ${d.message()}`);
			d.dismiss();
		});
		page.on("request", (r) => {
			if (!r.url().startsWith(settings.url) && !r.url().startsWith("data:")) this.wrong.push(`asked ${r.url()}`);
		});
		await page.addInitScript(() => {
			window.violations = [];
			document.addEventListener("securitypolicyviolation", (e) => window.violations.push(`${e.violatedDirective} ${e.blockedURI}`));
		});
		return page;
	}

	async shot(page, name) {
		await page.screenshot({ path: `${settings.shots}/${name}.png` });
	}

	// Nothing ran that should not, nothing was asked elsewhere, no rule of the page's policy was hit.
	async clean(page) {
		const violations = await page.evaluate(() => window.violations);
		check(!violations.length, `against the content security policy: ${violations.join("; ")}`);
		check(!this.wrong.length, this.wrong.slice(0, 5).join("; "));
	}
}

export async function open(page, hash = "#/") {
	await page.goto(`${settings.url}/${hash}`);
	await live(page);
}

export const live = (page, ms) => until(() => page.evaluate(() => document.getElementById("connection")?.dataset.state === "live"), "the page is live", ms);

// Of each cell: name and state, as the page shows them.
export const cells = (page) => page.evaluate(() => Object.fromEntries([...document.querySelectorAll(".cell")]
	.map((c) => [c.querySelector(".cell-name").textContent, c.dataset.state])));

// No part of the page may need sideways scrolling.
export async function fits(page, where) {
	const { wide, room, who } = await page.evaluate(() => {
		const room = document.documentElement.clientWidth;
		const out = [...document.querySelectorAll("body *")].find((e) => e.getBoundingClientRect().right > room + 1 && !e.closest(".scroll, .log, pre, svg, .unseen, .skip"));
		return { wide: document.documentElement.scrollWidth, room, who: out ? `${out.tagName}.${out.className}` : "" };
	});
	check(wide <= room, `${where} is ${wide} wide on a screen of ${room} (${who})`);
}

export async function run(scenario) {
	const b = new Browser();
	let failed = null;
	try {
		await b.start();
		await scenario(b);
	} catch (e) {
		failed = e;
		const pages = b.browser?.contexts().flatMap((c) => c.pages()) ?? [];
		for (const [i, p] of pages.entries()) await p.screenshot({ path: `${settings.shots}/failed-${i}.png` }).catch(() => {});
	}
	await b.browser?.close();
	if (failed) say("failed", { error: `${failed.message}${b.wrong?.length ? `; ${b.wrong.join("; ")}` : ""}` });
	else say("passed");
	if (failed) console.error(failed.stack);
	process.exit(failed ? 1 : 0);
}
