// Opens pages in Chromium and prints what it sees of each, as a line of JSON.
// node browser.mjs NODE_MODULES CHROMIUM FOLDER PAGE...   FOLDER gets pictures and a PDF of each page.
import { readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, executablePath, folder, ...pages] = process.argv.slice(2);
const { chromium } = createRequire(join(modules, "x.js"))("playwright-core");
const axe = readFileSync(join(modules, "axe-core", "axe.min.js"), "utf8");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });

/** What the main thread works (by its processor's clock) until the page is drawn, and the time of its first paint, in milliseconds. */
async function drawn(path) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  await page.goto("about:blank");
  const client = await context.newCDPSession(page);
  await client.send("Performance.enable", { timeDomain: "threadTicks" });
  const metrics = async () =>
    Object.fromEntries((await client.send("Performance.getMetrics")).metrics.map((each) => [each.name, each.value]));
  const before = await metrics();
  await page.goto(pathToFileURL(path).href);
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  const after = await metrics();
  const first = await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  const paint = await first.jsonValue();
  await context.close();
  return { task: (after.TaskDuration - before.TaskDuration) * 1000, paint };
}

async function judge(path, width, colorScheme) {
  // axe is put in from outside, which the policy of the page forbids; the page itself was seen before.
  const look = async (bypassCSP) => {
    const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, bypassCSP });
    const page = await context.newPage();
    const messages = [];
    const requests = [];
    page.on("console", (message) => messages.push(message.text()));
    page.on("pageerror", (error) => messages.push(String(error)));
    page.on("request", (request) => requests.push(request.url()));
    await page.goto(pathToFileURL(path).href);
    return { context, page, messages, requests };
  };
  const { context, page, messages, requests } = await look(false);
  await page.screenshot({ path: join(folder, `${basename(path)}-${width}-${colorScheme}.png`), fullPage: true });
  const size = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  const column = await page.evaluate(() => document.querySelector("main").getBoundingClientRect().width);
  const dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const pictures = await page.evaluate(() =>
    [...document.querySelectorAll("svg, img")]
      .filter((each) => each.checkVisibility())
      .map((each) => [each.getAttribute("role"), each.getAttribute("aria-label") ?? each.querySelector("title")?.textContent]),
  );
  const keyboard = width === 360 && colorScheme === "light" ? await walked(page) : null;
  await page.evaluate(() => document.querySelector("summary")?.focus());
  await page.keyboard.press("Enter");
  const opened = await page.evaluate(() => document.querySelector("details")?.open ?? null);
  await context.close();
  const bypassed = await look(true);
  await bypassed.page.evaluate(() => document.querySelectorAll("details").forEach((each) => (each.open = true)));
  await bypassed.page.addScriptTag({ content: axe });
  const found = await bypassed.page.evaluate(() => window.axe.run());
  await bypassed.context.close();
  const violations = found.violations.map((each) => `${each.id}: ${each.help}: ${each.nodes[0].html.slice(0, 200)} (${each.nodes.length})`);
  return { width, colorScheme, messages, requests, size, column, dark, pictures, keyboard, opened, violations };
}

/** How many links and the like the keyboard reaches, of how many, and those that do not show that they are reached. */
async function walked(page) {
  const wanted = await page.evaluate(
    () => [...document.querySelectorAll("a[href], summary")].filter((each) => each.checkVisibility()).length,
  );
  const reached = new Set();
  const unseen = [];
  for (let i = 0; i <= wanted; i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const each = document.activeElement;
      const box = each.getBoundingClientRect();
      const style = getComputedStyle(each);
      const seen = style.outlineStyle !== "none" && box.width > 0 && box.right > 0;
      return { index: [...document.querySelectorAll("a[href], summary")].indexOf(each), seen, text: each.textContent };
    });
    if (at.index >= 0 && !at.seen) unseen.push(at.text);
    reached.add(at.index);
  }
  reached.delete(-1);
  return { wanted, reached: reached.size, unseen };
}

/** What is left on paper of a page with dark colours. */
async function printed(path) {
  const context = await browser.newContext({ colorScheme: "dark" });
  const page = await context.newPage();
  await page.goto(pathToFileURL(path).href);
  await page.emulateMedia({ media: "print", colorScheme: "dark" });
  const hidden = await page.evaluate(
    () => [...document.querySelectorAll("details table")].filter((each) => each.getBoundingClientRect().height === 0).length,
  );
  const background = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const unseen = await page.evaluate(
    () => [...document.querySelectorAll("#sagepack-graph circle")].filter((each) => !each.checkVisibility()).length,
  );
  const ground = await page.evaluate(() => {
    const each = document.querySelector("#sagepack-graph .page");
    return each && getComputedStyle(each).fill;
  });
  const pdf = join(folder, `${basename(path)}.pdf`);
  await page.pdf({ path: pdf, format: "A4" });
  await context.close();
  return { hidden: hidden + unseen, background, ground, pdf: statSync(pdf).size };
}

for (const path of pages) {
  const looks = [];
  for (const width of [360, 1280]) for (const scheme of ["light", "dark"]) looks.push(await judge(path, width, scheme));
  const times = [];
  for (let i = 0; i < 5; i++) times.push(await drawn(path));
  console.log(JSON.stringify({ path, looks, times, printed: await printed(path) }));
}
await browser.close();
