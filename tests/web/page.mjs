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
	await until(async () => (await terminal.innerText()).includes("\u241b[31m"), "when asked for, they are shown");
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

await run(async (b) => {
	const page = await b.page();
	await fleetComesToLife(b, page);
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
	await outlivesTheDaemon(b, page);
	await b.clean(page);
});
