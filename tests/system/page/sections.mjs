import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const START = {
  generate: 'Start', persona: 'Send', content: 'Write', rater: 'Ask all', exhibition: 'Curate',
};
/** Something that is there as soon as the session has written a little. */
const BEGUN = {
  generate: '.lane .block', persona: '.turn .block', content: '.card .block',
  rater: '.opinion:not(:empty)', exhibition: '.theme .block',
};

const section = (page, name) => page.locator(`#section-${name}`);
const status = (page, name) => section(page, name).locator('.state .status');
const start = (page, name) => page.getByRole('button', { name: START[name], exact: true }).click();

async function ended(page, name) {
  await page.waitForSelector(
    `#section-${name} .state[data-state]:not([data-state=running])`, { timeout: 40_000 });
  return status(page, name).innerText();
}

async function begun(page, name) {
  await section(page, name).locator(BEGUN[name]).first().waitFor();
}

async function cut(page, context) {
  await context.setOffline(true);
  await page.evaluate(() => window.cutSockets());
}

/** The id of the session that a section shows. */
const idOf = (page, name) => page.evaluate((key) => sessionStorage.getItem(key), `session:${name}`);

async function stateOf(page, url, name) {
  return (await (await fetch(`${url}/api/sessions/${await idOf(page, name)}`)).json()).state;
}

const SAYS = {
  generate: /^Done: 9 prompts/, persona: /^3 of 3 have answered/, content: /passed the check/,
  rater: /^3 of 3 raters done/, exhibition: /^Done: 6 artists, 12 artworks/,
};

export default {
  async run({ page, open, given: { name } }) {
    await open(name);
    await start(page, name);
    assert.match(await ended(page, name), SAYS[name]);
    assert.equal(await section(page, name).locator('[data-state=running]').count(), 0);
  },

  async cancel({ page, open, url, given: { name } }) {
    await open(name);
    await start(page, name);
    await begun(page, name);
    const label = name === 'persona' ? 'Cancel all' : 'Cancel';
    await section(page, name).getByRole('button', { name: label, exact: true }).click();
    assert.match(await ended(page, name), /^Cancelled\./);
    assert.equal(await stateOf(page, url, name), 'cancelled');
  },

  async offline({ page, context, open, given: { name } }) {
    await open(name);
    await start(page, name);
    await begun(page, name);
    await cut(page, context);
    await status(page, name).filter({ hasText: 'The connection is lost' }).waitFor();
    await page.waitForTimeout(500);
    await context.setOffline(false);
    assert.match(await ended(page, name), SAYS[name]);
  },

  async reload({ page, open, url, given: { name } }) {
    await open(name);
    await start(page, name);
    await begun(page, name);
    const id = await idOf(page, name);
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    await begun(page, name);
    assert.match(await ended(page, name), SAYS[name]);
    assert.equal(await idOf(page, name), id, 'the same session, not a new one');
    assert.equal(await stateOf(page, url, name), 'completed');
  },

  /** The conversation goes on; one column is cancelled alone and asked again. */
  async conversation({ page, open }) {
    await open('persona');
    await start(page, 'persona');
    const cards = section(page, 'persona').locator('.turn .card');
    await begun(page, 'persona');
    await cards.nth(1).getByRole('button', { name: /^Cancel/ }).click();
    await cards.nth(1).locator('.badge', { hasText: 'cancelled' }).waitFor();
    assert.match(await ended(page, 'persona'), /^2 of 3 have answered/);
    await cards.nth(0).getByText(/first token .*tokens.*tokens\/s/).waitFor();
    await cards.nth(1).getByRole('button', { name: /^Retry/ }).click();
    await cards.nth(1).locator('.badge', { hasText: 'done' }).waitFor();
    await page.getByLabel('Message', { exact: true }).fill('And what did I ask first?');
    await page.keyboard.press('Enter');
    await section(page, 'persona').locator('.turn').nth(1).locator('.block').first().waitFor();
    await ended(page, 'persona');
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    await section(page, 'persona').locator('.turn').nth(1).locator('.block').first().waitFor();
    assert.equal(await section(page, 'persona').locator('.turn .said').count(), 2);
  },

  /** Streaming switched off: the whole answer at once; Copy gives exactly the output. */
  async plain({ page, open }) {
    await open('content');
    await page.getByLabel('Streaming mode').uncheck();
    await start(page, 'content');
    await status(page, 'content').filter({ hasText: 'Waiting for the whole answer' }).waitFor();
    assert.match(await ended(page, 'content'), /passed the check/);
    const output = section(page, 'content').getByRole('article', { name: 'Output' });
    await output.getByRole('button', { name: 'Copy Output' }).click();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^Question 1/);
    const [file] = await Promise.all([
      page.waitForEvent('download'),
      output.getByRole('button', { name: 'Download Output' }).click(),
    ]);
    assert.equal(file.suggestedFilename(), 'formatter.txt');
    await section(page, 'content').getByText('formatter retries').waitFor();
  },

  /** The session waits for a choice, also over a reload; clicking cards makes it. */
  async choose({ page, open }) {
    await open('exhibition');
    await page.getByLabel('I choose').check();
    await start(page, 'exhibition');
    await page.getByRole('heading', { name: 'Choose artists' }).waitFor({ timeout: 40_000 });
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    await page.getByRole('heading', { name: 'Choose artists' }).waitFor();
    for (const index of [0, 1]) await page.locator('.pick').nth(index).click();
    await page.getByRole('button', { name: 'Go on with 2 artists' }).click();
    await page.getByRole('heading', { name: 'Choose artworks' }).waitFor({ timeout: 40_000 });
    await page.locator('.pick').first().focus();
    await page.keyboard.press('Space');
    await page.getByRole('button', { name: 'Go on with 1 artworks' }).click();
    assert.match(await ended(page, 'exhibition'), /^Done: 2 artists, 1 artworks/);
    const [proposal] = await Promise.all([
      page.context().waitForEvent('page'),
      page.getByRole('button', { name: 'The proposal: print' }).click(),
    ]);
    await proposal.getByRole('heading', { level: 1 }).waitFor();
  },

  /** The raw messages panel, filled by a session. */
  async raw({ page, open }) {
    await open('generate');
    await page.getByRole('button', { name: 'Raw' }).click();
    await start(page, 'generate');
    await page.locator('.messages li', { hasText: 'phase_start' }).first().waitFor();
    await page.locator('.messages li', { hasText: '"type":"chunk"' }).first().waitFor();
    await ended(page, 'generate');
  },

  /** Serious violations of WCAG, found by axe, before and after a session; and no sideways scroll. */
  async accessible({ page, open, given: { name } }) {
    await open(name);
    const found = [...(await violations(page))];
    if (name in START) {
      await start(page, name);
      await begun(page, name);
      found.push(...(await violations(page)));
      await ended(page, name);
    }
    await page.getByRole('button', { name: 'Raw' }).click();
    found.push(...(await violations(page)));
    assert.deepEqual([...new Set(found)], []);
    const wide = await page.evaluate(() =>
      document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.equal(wide, 0, 'the page scrolls sideways');
  },

  /** Log in, be known after a reload, log out. */
  async login({ page, open }) {
    await open('generate');
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
    await page.getByLabel('User').fill('ada');
    await page.getByLabel('Password').fill('wrong');
    await page.locator('#login').getByRole('button', { name: 'Log in' }).click();
    await page.locator('#login .error:not(:empty)').waitFor();
    await page.getByLabel('Password').fill('correct horse battery');
    await page.locator('#login').getByRole('button', { name: 'Log in' }).click();
    await page.getByRole('button', { name: 'Log out ada' }).waitFor();
    await start(page, 'generate');
    assert.match(await ended(page, 'generate'), /^Done/);
    await page.goto(`${new URL(page.url()).origin}/#observer`);
    await page.locator('#section-observer .status', { hasText: 'admin' }).waitFor();
    await page.getByRole('button', { name: 'Log out ada' }).click();
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
  },
};

async function violations(page) {
  // The policy forbids a script element of ours as well; the debugger's way is not bound by it.
  const { readFile } = await import('node:fs/promises');
  await page.evaluate(await readFile(AXE, 'utf8'));
  const { violations: found } = await page.evaluate(() => window.axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'],
  }));
  return found
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(({ id, nodes }) => `${id}: ${nodes.slice(0, 3).map((node) => node.target.join(' ')).join(' | ')}`);
}
