// SPDX-License-Identifier: Apache-2.0
// The page with a few boards: it comes to life with them, shows what hostile boards say as text, refuses to act without a token,
// works by keyboard and on a phone, and outlives the daemon.
import { cells, check, figure, fits, hear, live, open, percentile, run, say, settings, until } from "./lib.mjs";

async function fleetComesToLife(b, page) {
	await open(page);
	await until(() => page.getByText("No boards yet").first().isVisible(), "an empty fleet says what to do");
	await b.shot(page, "empty");
	say("ready");
	const { boards } = await hear("booted");
	await until(async () => {
		const seen = await cells(page);
		return boards.every((x) => seen[x.name] === x.state) && Object.keys(seen).length === boards.length;
	}, `each cell shows the state that the API has: ${JSON.stringify(boards)}`);
	await b.shot(page, "fleet");
}

async function timeline(b, page) {
	await open(page, `#/board/${settings.board ?? (await page.locator(".cell-name").first().textContent())}`);
	await until(() => page.locator("svg.timeline rect.file").count(), "the timeline has files");
	const drawn = await page.locator("svg.timeline text.row-label.mono").allTextContents();
	check(drawn.some((x) => x.includes("config.txt")), `config.txt is in the drawing: ${drawn}`);
	check(await page.locator(".files tbody tr").count() >= 5, "the table has the files");
	await page.getByLabel("beside the one before").check();
	await until(() => page.locator("svg.timeline .file.former").count(), "the boot before is drawn beside it");
	await b.shot(page, "board");
}

async function tabs(b, page) {
	for (const [name, words] of [["Log", "line"], ["Console", "It has no console"], ["Disk", "of"], ["Power", "Nobody told bramble how"], ["Settings", "Save"], ["What it gets", "Command line"]]) {
		await page.getByRole("navigation", { name: "Of this board" }).getByRole("link", { name, exact: true }).click();
		await until(async () => (await page.locator(".tab").innerText()).includes(words), `${name} says ${words}`);
		await b.shot(page, `tab-${name.replaceAll(" ", "-").toLowerCase()}`);
	}
}

// The notes, a file it asked for and its lines were made by somebody who wishes to run a script here.
async function hostileText(b, page) {
	await open(page, `#/board/${settings.hostile}`);
	await until(async () => (await page.locator("dl.facts").first().innerText()).includes("<img"), "its notes are shown as they are");
	await until(() => page.evaluate(() => [...document.querySelectorAll("svg.timeline .missing title")].some((t) => t.textContent.includes("<script>"))), "the file it asked for is named in the drawing");
	await open(page, "#/activity");
	await until(async () => (await page.locator(".feed").innerText()).includes("<script>"), "the event has the name as text");
	check(await page.evaluate(() => !document.querySelector("main img, main script") && !window.hacked), "nothing of it became an element");
	await b.shot(page, "hostile");
	await open(page, `#/logs?boards=${settings.hostile}`);
	await until(async () => (await page.locator(".log").innerText()).includes("<b>bold</b>"), "its line is there as text");
	const text = await page.locator(".log").innerText();
	check(!text.includes("\u001b") && !(await page.locator(".log b").count()), "no escape sequence and no element of it is in the page");
	await page.getByLabel("Search (regular expression)").fill("needle-[0-9]+");
	await page.getByRole("button", { name: "Search" }).click();
	await until(async () => (await page.locator(".log > li").count()) === 1 && (await page.locator(".log mark").innerText()) === "needle-42", "the search finds the line and marks it");
	await b.shot(page, "logs");
	await page.getByLabel("follow").uncheck();
	await until(async () => /1 line in/.test(await page.locator("form [role=status]").innerText()), "a search without following ends");
	await page.getByLabel("Search (regular expression)").fill("not there at all");
	await page.getByRole("button", { name: "Search" }).click();
	await until(() => page.getByText("No line fits the search").first().isVisible(), "a search in vain says so");
}

async function actionNeedsToken(b, page) {
	await open(page, `#/board/${settings.board}/settings`);
	const notes = page.getByLabel("Notes"), save = page.getByRole("button", { name: "Save" });
	await until(async () => (await page.getByLabel("Name", { exact: true }).inputValue()) === settings.board, "the fields are filled");
	await notes.fill("rack 3, left");
	await save.click();
	await until(() => page.getByText("This needs a token").first().isVisible(), "without a token it is refused, in words");
	await b.shot(page, "refused");
	await page.locator("main").getByRole("button", { name: "Enter a token" }).click();
	await page.locator("#token").fill("not-a-token");
	await page.getByRole("button", { name: "Use it" }).click();
	await until(async () => (await page.locator("dialog [role=status]").innerText()).length > 5, "a wrong token is told so at once");
	await b.shot(page, "token");
	await page.locator("#token").fill(settings.token);
	await page.getByRole("button", { name: "Use it" }).click();
	await until(async () => (await page.locator("#token-text").innerText()) === "May operate", "the token's scope is shown");
	await live(page);
	await save.click();
	await until(() => page.getByText("Saved.").first().isVisible(), "with it, it is done");
	const kept = await page.evaluate(() => [localStorage.length, document.cookie, sessionStorage.length]);
	check(kept[0] === 0 && kept[1] === "", "the token is in this tab only");
}

// A line with colours, a title and markup; what is typed arrives, once there is a token.
async function serialLine(b, page) {
	await open(page, `#/board/${settings.serial}/console`);
	const terminal = page.locator(".terminal");
	await until(async () => (await terminal.innerText()).includes("login: <b>x</b>"), "the line is shown as text");
	const text = await terminal.innerText();
	check(text.includes("colours end") && !/[\u001b\u0007]|evil|\[31m/.test(text), `sequences are left out: ${JSON.stringify(text)}`);
	check(text.includes("seen") && !text.includes("unseen-"), "a carriage return writes over the line");
	await page.getByLabel("show escape sequences").check();
	await until(async () => (await terminal.innerText()).includes("\\x1b[31m"), "when asked for, they are shown");
	await page.getByLabel("A line to send to the board").fill("uname -a");
	await page.getByRole("button", { name: "Send" }).click();
	await until(async () => (await terminal.innerText()).includes("got: uname -a"), "the board has answered to it");
	await b.shot(page, "console");
}

// Skip link, search, grid, board, tabs: without a mouse, and what has the focus is seen.
async function byKeyboard(b, page) {
	await open(page);
	await page.reload(); // the focus is where it is when one comes here
	await live(page);
	await until(() => page.locator(".cell").count(), "the fleet is there");
	await page.keyboard.press("Tab");
	check((await page.evaluate(() => document.activeElement.className)) === "skip", "the first stop is the skip link");
	await page.keyboard.press("Enter");
	check((await page.evaluate(() => document.activeElement.id)) === "main", "it leads to the content");
	await page.keyboard.press("/");
	check((await page.evaluate(() => document.activeElement.type)) === "search", "/ leads to the filter");
	await page.keyboard.type(settings.board);
	await until(async () => (await page.locator(".grid li:not([hidden])").count()) === 1, "the filter leaves one board");
	await page.keyboard.press("Escape");
	await page.keyboard.press("/");
	await page.keyboard.press("ArrowDown");
	await page.keyboard.press("ArrowRight");
	await page.keyboard.press("End");
	const focus = await page.evaluate(() => ({ cell: document.activeElement.matches(".cell"), outline: getComputedStyle(document.activeElement).outlineStyle, stops: document.querySelectorAll('.cell[tabindex="0"]').length }));
	check(focus.cell && focus.outline !== "none", `the arrows move, and the focus is seen: ${JSON.stringify(focus)}`);
	check(focus.stops === 1, "the grid is one stop of the Tab key");
	await b.shot(page, "keyboard");
	await page.keyboard.press("Enter");
	await until(() => page.evaluate(() => location.hash.startsWith("#/board/")), "Enter opens the board");
	const said = await page.evaluate(() => document.getElementById("announcer").textContent);
	check(said.includes("Board"), `who hears the page is told: ${said}`);
}

async function onPhone(b) {
	const page = await b.page({ viewport: { width: 375, height: 740 }, colorScheme: "dark", reducedMotion: "reduce", hasTouch: true });
	for (const [name, hash] of [["fleet", "#/"], ["board", `#/board/${settings.hostile}`], ["log", `#/board/${settings.board}/log`], ["disk", `#/board/${settings.board}/disk`],
		["settings", `#/board/${settings.board}/settings`], ["gets", `#/board/${settings.board}/gets`], ["logs", "#/logs"], ["activity", "#/activity"], ["images", "#/images"], ["reservations", "#/reservations"]]) {
		await open(page, hash);
		await page.waitForLoadState("networkidle", { timeout: 1000 }).catch(() => {}); // streams never are
		await fits(page, name);
		await b.shot(page, `phone-${name}`);
	}
	await b.clean(page);
	await page.context().close();
}

async function aBoardIsRenamed(b, page) {
	await open(page);
	const before = await cells(page);
	say("rename");
	await until(async () => {
		const now = await cells(page);
		return "renamed-1" in now && !("pi-5b000004" in now) && Object.keys(now).length === Object.keys(before).length;
	}, "the new name comes, the old one goes");
}

async function outlivesTheDaemon(b, page) {
	await open(page);
	b.mayBeOffline = true;
	say("stop");
	await until(() => page.locator("#banner").isVisible(), "a banner says that the connection is lost", 30_000);
	check((await cells(page)) && (await page.locator(".cell").count()) > 0, "what was known stays");
	await b.shot(page, "offline");
	say("start");
	await live(page, 40_000);
	await until(() => page.locator("#banner").isHidden(), "the banner goes when it is back");
}

// What the page concludes, without a daemon: a boot from its events, a screen from its bytes, words from numbers.
async function logic(page) {
	const got = await page.evaluate(async () => {
		const { bootModel, fileRows } = await import("/bootmodel.js");
		const { Screen } = await import("/console.js");
		const { show } = await import("/dom.js");
		const f = await import("/format.js");
		let seq = 0;
		const ev = (at, type, fields = {}) => ({ seq: seq++, time: new Date(1e12 + at * 1000).toISOString(), type, boot: 7, fields });
		const model = bootModel([
			ev(0, "boot.start", { image: "x" }), ev(0, "boot.waiting", { before: 3 }), ev(4, "dhcp.offer", { client: "rom" }),
			ev(6, "file.sent", { path: "start.elf", bytes: 100, ms: 1000, retransmits: 2 }), ev(6, "file.missing", { path: "no" }),
			ev(7, "file.failed", { path: "kernel8.img", bytes: 5, ms: 500, reason: "gone" }), ev(7.5, "file.sent", { path: "start.elf", bytes: 100, ms: 0 }),
			ev(9, "nfs.mounted"), ev(12, "board.up"), ev(900, "nfs.trouble", { reason: "later" })]);
		const screen = (text, raw = false) => {
			const s = new Screen();
			s.raw = raw;
			for (const c of text.match(/[^]{1,3}/g)) s.take(c); // sequences come in pieces
			return s.lines.join("|");
		};
		return {
			bands: model.bands.map((b) => `${b.who} ${b.from}-${b.to}`).join(", "), end: model.end, up: model.up, again: model.retransmits, missing: model.missing.length,
			marks: model.marks.length, rows: fileRows(model).map((r) => `${r.path} x${r.parts.length} ${r.bytes} ${r.failed}`).join(", "), none: bootModel([]),
			screens: [screen("a\u001b[1;31mb\u001b[0mc\r\n"), screen("progress 10%\rprogress 99%"), screen("ab\b\bxy"), screen("\u001b]0;title\u0007t\ta"), screen("\u001b[31m", true), screen("x\u0000\u0007y")],
			shown: [show("a\u001bb\n"), show("\u202eevil"), show(null), show(7)],
			words: [f.bytes(1500), f.bytes(0), f.bytes(NaN), f.seconds(0.0421), f.seconds(75), f.seconds(-1), f.about(90), f.plural(1, "board"), f.plural(2, "board")],
		};
	});
	const want = {
		bands: "turn 0-4, board 4-5, wire 5-6, board 6-6.5, wire 6.5-7, board 7-9, system 9-12", end: 12, up: 12, again: 2, missing: 1, marks: 3,
		rows: "start.elf x2 200 false, kernel8.img x1 5 true", none: null,
		screens: ["abc|", "progress 99%", "xy", "t       a", "\\x1b[31m", "xy"],
		shown: ["a\\x1bb\\x0a", "\u27e8U+202E\u27e9evil", "", "7"],
		words: ["1.5 kB", "0 B", "\u2013", "42 ms", "1 min 15 s", "0 ms", "2 min", "1 board", "2 boards"],
	};
	for (const [key, value] of Object.entries(want))
		check(JSON.stringify(got[key]) === JSON.stringify(value), `${key}: ${JSON.stringify(got[key])} instead of ${JSON.stringify(value)}`);
}

await run(async (b) => {
	const page = await b.page();
	await fleetComesToLife(b, page);
	await logic(page);
	Object.assign(settings, await hear("boards"));
	await timeline(b, page);
	await tabs(b, page);
	await hostileText(b, page);
	await actionNeedsToken(b, page);
	await serialLine(b, page);
	await byKeyboard(b, page);
	await onPhone(b);
	const perf = await page.evaluate(() => window.brambleperf);
	figure({ updates: perf.updates, update_ms_p95: percentile(perf.last, 0.95), update_ms_max: perf.max_ms });
	await aBoardIsRenamed(b, page);
	await outlivesTheDaemon(b, page);
	await b.clean(page);
});
