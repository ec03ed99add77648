// Opens pages in a headless Chromium and says what it saw. Reads a list of visits from standard input as JSON, writes
// one answer for each to standard output. One browser serves all visits.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const [, , modules, program] = process.argv;
const require = createRequire(join(modules, "look.cjs"));
const puppeteer = require("puppeteer-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const visits = JSON.parse(readFileSync(0, "utf8"));

const browser = await (puppeteer.default ?? puppeteer).launch({
  executablePath: program,
  headless: "shell",
  // No sandbox: the pages are our own, and the tests may run as root, where Chromium has none.
  args: ["--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage", "--font-render-hinting=none"],
  env: process.env,
  timeout: 30000,
});

async function look(visit) {
  const page = await browser.newPage();
  const seen = { console: [], requests: [], axe: [], passes: 0 };
  page.on("console", (message) => seen.console.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (error) => seen.console.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => { seen.console.push(`dialog: ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    if (!request.url().startsWith("data:")) seen.requests.push(request.url());
  });
  await page.setJavaScriptEnabled(visit.javascript ?? true);
  await page.setViewport({ width: visit.width, height: 900 });
  const media = [{ name: "prefers-color-scheme", value: visit.scheme ?? "light" }];
  await page.emulateMediaFeatures(media);
  if (visit.media) await page.emulateMediaType(visit.media);
  await page.goto(visit.url, { waitUntil: "load", timeout: 30000 });
  seen.overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (visit.keys) {
    seen.focus = [];
    for (const key of visit.keys) {
      await page.keyboard.press(key);
      seen.focus.push(await page.evaluate(() => {
        const at = document.activeElement;
        const style = getComputedStyle(at);
        return { text: (at.getAttribute("aria-label") ?? at.textContent).trim().slice(0, 60), outline: style.outlineStyle };
      }));
    }
  }
  if (visit.script) seen.answer = await page.evaluate(visit.script);
  if (visit.axe ?? true) {
    await page.evaluate(axe);
    const found = await page.evaluate("axe.run(document, {resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})");
    seen.passes = found.passes.length;
    seen.axe = found.violations.map((rule) => ({
      id: rule.id, impact: rule.impact, count: rule.nodes.length, help: rule.help,
      node: rule.nodes[0].html.slice(0, 200), why: rule.nodes[0].failureSummary.slice(0, 400),
    }));
  }
  if (visit.screenshot) await page.screenshot({ path: visit.screenshot, fullPage: true });
  await page.close();
  return seen;
}

const answers = [];
for (const visit of visits) answers.push(await look(visit));
await browser.close();
process.stdout.write(JSON.stringify(answers));
