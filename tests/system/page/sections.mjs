import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { loseAndFind } from './generate.mjs';

const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');
const START = {
  generate: 'Start', persona: 'Send', content: 'Write', rater: 'Ask all', exhibition: 'Curate',
};
/** Something that is there as soon as the session has written a little. */
const BEGUN = {
  generate: '.lane .block', persona: '.turn .block', content: '.card .block',
  rater: '.opinion:not(:empty)', exhibition: '.theme .block',
};

const LOOKS = [[1440, 'dark'], [375, 'dark'], [375, 'light'], [1440, 'light']];

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

  async offline({ page, context, network, open, given: { name } }) {
    await open(name, network.url);
    await loseAndFind({ page, context, network }, name, {
      start: () => start(page, name),
      begun: () => begun(page, name),
    });
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

  /** Draft alone, edited by a person over a reload, then laid out alone; cancelled in between. */
  async halves({ page, open, url }) {
    const content = section(page, 'content');
    const draft = content.getByLabel('Your draft');
    await open('content');
    assert.equal(await draft.isVisible(), false);
    await page.getByLabel('What is written').selectOption('draft');
    assert.equal(await content.getByLabel('Streaming mode').isVisible(), false);
    assert.equal(await content.locator('.steps li:visible').count(), 3);
    await page.getByRole('button', { name: 'Write the draft' }).click();
    await begun(page, 'content');
    await ended(page, 'content');
    await status(page, 'content').filter({ hasText: 'The draft is there' }).waitFor();
    const first = await fetch(`${url}/api/sessions/${await idOf(page, 'content')}`);
    const parts = (await first.json()).parts;
    assert.deepEqual(parts.map((part) => part.target.stage), ['generator']);
    assert.equal((await draft.inputValue()).trim(), parts[0].text.trim());
    assert.equal(await content.getByLabel('Source notes').isVisible(), false);
    const edited = `${await draft.inputValue()}\nThe zebra is an animal.`;
    await draft.fill(edited);
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    await content.getByRole('article', { name: 'Draft' }).locator('.block').first().waitFor();
    await ended(page, 'content');
    assert.equal(await draft.inputValue(), edited, 'a reload keeps what was edited');
    const sent = page.waitForRequest(/\/run\/stream\/format$/);
    await page.getByRole('button', { name: 'Lay out' }).click();
    assert.equal((await sent).postDataJSON().draft, edited);
    await begun(page, 'content');
    assert.match(await ended(page, 'content'), /passed the check/);
    assert.equal(await content.getByRole('article', { name: 'Draft' }).count(), 0);
    await page.getByRole('button', { name: 'Copy Output' }).click();
    assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^Question 1/);
  },

  /** The session waits for a choice, also over a reload; clicking cards makes it. */
  async choose({ page, open }) {
    await open('exhibition');
    await page.getByLabel('I choose').check();
    await section(page, 'exhibition').getByText('More', { exact: true }).click();
    await page.getByLabel('To the year').fill('1980');
    await page.getByLabel('Movements').fill('Surrealism');
    await page.getByLabel('Opens').fill('2027-05-01');
    await page.getByLabel('Closes').fill('2027-08-01');
    const sent = page.waitForRequest(/\/api\/curator\/submit$/);
    await start(page, 'exhibition');
    const { curator_brief: brief, config } = (await sent).postDataJSON();
    assert.deepEqual(brief.exhibition_dates, { start: '2027-05-01', end: '2027-08-01' });
    assert.deepEqual([brief.time_period, brief.movements], [{ end_year: 1980 }, ['Surrealism']]);
    assert.equal('budget_max' in brief || 'provider' in config, false, 'what is empty is not sent');
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
    const font = await proposal.evaluate(() => getComputedStyle(document.body).fontFamily);
    assert.match(font, /Georgia/, 'its own policy lets its style in');
  },

  /** One rater is off, one is cancelled alone and asked again; suggestions can be ticked. */
  async raters({ page, open }) {
    await open('rater');
    const rows = page.locator('.rater-row');
    await rows.nth(2).getByLabel('Ask this rater').uncheck();
    await page.getByRole('button', { name: 'Add a rater' }).click();
    await rows.nth(3).getByLabel('Name').fill('Cartographer');
    await rows.nth(3).getByLabel('Prompt').fill('You are a cartographer. Say where this is.');
    await start(page, 'rater');
    const card = (name) => section(page, 'rater').getByRole('article', { name, exact: true });
    await card('Story critic').locator('.opinion:not(:empty)').waitFor();
    await page.getByRole('button', { name: 'Cancel Continuity editor' }).click();
    await card('Continuity editor').locator('.badge', { hasText: 'cancelled' }).waitFor();
    assert.equal(await ended(page, 'rater'), '3 of 3 raters done.');
    assert.equal(await card('First reader').count(), 0);
    await card('Cartographer').locator('.badge', { hasText: 'done' }).waitFor();
    await page.getByRole('button', { name: 'Retry Continuity editor' }).click();
    await card('Continuity editor').locator('.badge', { hasText: 'done' }).waitFor();
    await card('Continuity editor').getByRole('checkbox').first().check();
    await page.getByRole('button', { name: 'Copy Continuity editor' }).click();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.equal(copied.match(/^- \[x\] /gm).length, 1);
    assert.ok(copied.match(/^- \[ \] /gm).length >= 3);
  },

  /** A text that does not pass the check: its errors by line, and what there is of it. */
  async invalid({ page, open, given: { text } }) {
    await open('content');
    await start(page, 'content');
    assert.match(await ended(page, 'content'), /did not pass the check/);
    const content = section(page, 'content');
    await content.getByText(/^Line \d+: /).first().waitFor();
    await content.getByText(/attempt 2 \(validation\)/).waitFor();
    await content.locator('.steps li[data-state=failed]', { hasText: 'Check' }).waitFor();
    await page.getByRole('button', { name: 'Copy Output' }).click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), text);
  },

  /** By keyboard alone: past the navigation, start, and cancel; the focus can be seen. */
  async keyboard({ page, open, url }) {
    await open('generate');
    const press = async (name, most = 25) => {
      for (let n = 0; n < most; n += 1) {
        await page.keyboard.press('Tab');
        const at = await page.evaluate(() => ({
          name: document.activeElement.textContent.trim(),
          outline: getComputedStyle(document.activeElement).outlineStyle,
        }));
        if (at.name !== name) continue;
        assert.equal(at.outline, 'solid', `the focus on ${name} cannot be seen`);
        return page.keyboard.press('Enter');
      }
      return assert.fail(`${name} is not reached within ${most} steps`);
    };
    await press('Skip to the content', 1);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
    await press('Start', 10);
    await begun(page, 'generate');
    await press('Cancel', 3);
    assert.match(await ended(page, 'generate'), /^Cancelled\./);
    assert.equal(await stateOf(page, url, 'generate'), 'cancelled');
  },

  /** The raw messages panel, filled by a session; a message by hand; events on the console. */
  async raw({ page, open }) {
    await open('generate');
    await page.evaluate(() => localStorage.setItem('DEBUG_STREAMING', 'true'));
    const logged = [];
    page.on('console', (message) => logged.push(message.text()));
    await page.getByRole('button', { name: 'Raw' }).click();
    await page.getByText('Send by hand').click();
    const panel = page.locator('#raw');
    assert.equal(await panel.getByRole('button', { name: 'Send message' }).isDisabled(), true);
    await panel.getByRole('button', { name: 'Connect' }).click();
    await panel.getByText('Connected.').waitFor();
    await panel.getByLabel('Message type').selectOption('ping');
    await panel.getByRole('button', { name: 'Send message' }).click();
    await panel.locator('li', { hasText: '"type":"pong"' }).waitFor();
    await panel.getByLabel('What to send').fill('{"type": ');
    await panel.getByRole('button', { name: 'Send message' }).click();
    await panel.locator('li', { hasText: 'invalid_json' }).waitFor();
    await panel.getByLabel('Message type').selectOption('multi_chat');
    await panel.getByRole('button', { name: 'Send message' }).click();
    await panel.locator('li', { hasText: '"type":"response"' }).waitFor();
    await panel.getByRole('button', { name: 'Disconnect' }).click();
    await panel.getByText(/^Closed/).waitFor();
    await start(page, 'generate');
    await page.locator('.messages li', { hasText: 'phase_start' }).first().waitFor();
    await page.locator('.messages li', { hasText: '"type":"chunk"' }).first().waitFor();
    await ended(page, 'generate');
    assert.ok(logged.some((text) => text.startsWith('[generate]')), 'DEBUG_STREAMING logs events');
  },

  /**
   * Serious violations of WCAG, found by axe, before, during and after a session, and no sideways
   * scroll: light and dark, on a phone and on a desk.
   */
  async accessible({ page, context, open, url, given: { name } }) {
    const found = new Set();
    const look = async (when, [width, scheme]) => {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme: scheme });
      for (const each of await violations(page)) found.add(`${when}, ${scheme}, ${width} px: ${each}`);
      const wide = await page.evaluate(() =>
        document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (wide !== 0) found.add(`${when}, ${scheme}, ${width} px: it scrolls sideways by ${wide} px`);
    };
    await open(name);
    for (const each of [LOOKS[0], LOOKS[2]]) await look('at first', each);
    if (name in START) {
      await start(page, name);
      await begun(page, name);
      await look('in mid-stream', LOOKS[0]);
      await ended(page, name);
    } else {
      await watched({ page, context, url });
    }
    await page.getByRole('button', { name: 'Raw' }).click();
    for (const each of LOOKS) await look('at last', each);
    assert.deepEqual([...found], []);
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
    await prints(page);
    await page.goto(`${new URL(page.url()).origin}/#observer`);
    await page.locator('#section-observer .status', { hasText: 'admin' }).waitFor();
    await page.getByRole('button', { name: 'Log out ada' }).click();
    await page.getByRole('heading', { name: 'Log in' }).waitFor();
  },
};

/** With a token the proposal opens in a window of its own, styled, and the token is not in its address. */
async function prints(page) {
  await page.goto(`${new URL(page.url()).origin}/#exhibition`);
  await page.getByLabel('Artworks', { exact: true }).fill('4');
  await start(page, 'exhibition');
  assert.match(await ended(page, 'exhibition'), /^Done/);
  const title = await section(page, 'exhibition').locator('.theme-exhibition_title .text').innerText();
  const press = page.getByRole('button', { name: 'The proposal: print' }).click();
  const [proposal] = await Promise.all([page.context().waitForEvent('page'), press]);
  const violated = [];
  proposal.on('console', (message) => violated.push(message.text()));
  await proposal.getByRole('heading', { level: 1, name: title.trim() }).waitFor();
  assert.match(proposal.url(), /^blob:/);
  const token = await page.evaluate(() => sessionStorage.getItem('antiphon.token'));
  assert.ok(token && !proposal.url().includes(token));
  const styled = await proposal.locator('h1').evaluate((h1) => [
    getComputedStyle(document.body).fontFamily, getComputedStyle(h1).fontSize]);
  assert.match(styled[0], /Georgia/);
  assert.equal(styled[1], '35.2px');
  assert.deepEqual(violated, []);
  await proposal.close();
  const [file] = await Promise.all([
    page.waitForEvent('download'), page.getByRole('button', { name: 'Export as JSON' }).click()]);
  assert.match(file.suggestedFilename(), /^proposal-.*\.json$/);
}

/** Something for the observer to show: a session in another tab. */
async function watched({ page, context, url }) {
  const other = await context.newPage();
  await other.goto(`${url}/#generate`);
  await other.waitForSelector('body[data-ready]');
  await start(other, 'generate');
  await page.bringToFront();
  await page.locator('.session .cut').first().waitFor();
}

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
