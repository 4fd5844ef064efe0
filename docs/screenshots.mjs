// The screenshots themselves; see screenshots.py.

import { chromium } from 'playwright-core';

const [url, folder] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    '--no-sandbox', '--disable-background-networking', '--disable-gpu', '--no-first-run',
    '--disable-component-update', '--disable-sync',
  ],
});

/** Open a section, do something, and take the picture. */
async function take(name, section, { width = 1280, height = 860, scheme = 'light' }, act) {
  const context = await browser.newContext({
    viewport: { width, height }, colorScheme: scheme, reducedMotion: 'reduce',
  });
  const page = await context.newPage();
  await page.goto(`${url}/#${section}`);
  await page.waitForSelector('body[data-ready]');
  await act(page, context);
  await page.mouse.move(0, 0);
  await page.screenshot({ path: `${folder}/${name}.png` });
  await context.close();
  console.log(name);
}

const press = (page, name) => page.getByRole('button', { name, exact: true }).click();
const focusOn = (page, selector) =>
  page.locator(selector).first().evaluate((element) => {
    window.scrollTo(0, element.getBoundingClientRect().top + window.scrollY - 70);
  });

await take('generate', 'generate', {}, async (page) => {
  await press(page, 'Start');
  await page.locator('.phase').nth(1).locator('.block').first().waitFor();
  await page.waitForTimeout(900);
  await focusOn(page, '#section-generate .state');
});
await take('cancelled', 'generate', { scheme: 'dark' }, async (page) => {
  await press(page, 'Raw');
  await press(page, 'Start');
  await page.locator('.lane .block').first().waitFor();
  await page.waitForTimeout(900);
  await press(page, 'Cancel');
  await page.locator('.status', { hasText: 'Cancelled' }).waitFor();
  await page.waitForTimeout(300);
});
await take('persona', 'persona', {}, async (page) => {
  await page.getByLabel('Message', { exact: true }).fill('Should every service have its own database?');
  await press(page, 'Send');
  await page.locator('.turn .block').first().waitFor();
  await page.waitForTimeout(1300);
  await focusOn(page, '.turn');
});
await take('content', 'content', {}, async (page) => {
  await press(page, 'Write');
  await page.getByRole('article', { name: 'Output' }).locator('.block').first().waitFor({ timeout: 30_000 });
  await page.waitForTimeout(2500);
  await focusOn(page, '#section-content .state');
});
await take('rater', 'rater', {}, async (page) => {
  await press(page, 'Ask all');
  await page.locator('.ticks li').nth(5).waitFor();
  await focusOn(page, '#section-rater .state');
});
await take('exhibition', 'exhibition', {}, async (page) => {
  await press(page, 'Curate');
  await page.locator('#section-exhibition .status', { hasText: 'Done' }).waitFor({ timeout: 60_000 });
  await page.waitForTimeout(500);
  await focusOn(page, '#section-exhibition .state');
});
await take('observer', 'observer', { scheme: 'dark' }, async (page, context) => {
  const other = await context.newPage();
  await other.goto(`${url}/#generate`);
  await other.waitForSelector('body[data-ready]');
  await press(other, 'Start');
  await other.waitForTimeout(2000);
  const third = await context.newPage();
  await third.goto(`${url}/#persona`);
  await third.waitForSelector('body[data-ready]');
  await press(third, 'Send');
  await page.bringToFront();
  await page.locator('.session').nth(1).waitFor();
  await page.waitForTimeout(600);
});
await take('phone', 'persona', { width: 375, height: 760 }, async (page) => {
  await press(page, 'Send');
  await page.locator('.turn .block').first().waitFor();
  await page.waitForTimeout(1200);
  await focusOn(page, '.turn');
});
await browser.close();
