import assert from 'node:assert/strict';

const start = (page) => page.getByRole('button', { name: 'Start' }).click();
const status = (page) => page.locator('#section-generate .status');
const texts = (page) => page.locator('#section-generate .lane .text').allInnerTexts();

async function ended(page) {
  await page.waitForSelector("#section-generate .state:not([data-state=running])[data-state]", { timeout: 40_000 });
}

/** The text of every part, as the server has it. */
async function partsOf(page, url) {
  const id = new URL(page.url()).hash.split('/')[1];
  const session = await (await fetch(`${url}/api/sessions/${id}`)).json();
  return { state: session.state, texts: session.parts.map((part) => part.text.trim()) };
}

/** What the cards hold, by what their Copy button gives. */
async function copied(page) {
  const all = [];
  for (const card of await page.locator('#section-generate .lane').all()) {
    await card.getByRole('button', { name: /^Copy/ }).click();
    all.push((await page.evaluate(() => navigator.clipboard.readText())).trim());
  }
  return all;
}

export default {
  async run({ page, open, url }) {
    await open('generate');
    await page.getByText('Simulated.').waitFor();
    const bar = page.locator('#section-generate').getByRole('progressbar', { name: 'Progress' });
    assert.equal(await bar.isVisible(), false);
    await start(page);
    const shown = [];
    for (const done of [1, 3, 6]) {
      await page.waitForFunction((least) => least <= Number(
        /(\d+) of 9 prompts are there/.exec(document.querySelector('#section-generate .status').textContent)?.[1]), done);
      shown.push(await bar.evaluate((element) => element.value));
    }
    assert.ok(shown[0] >= 10 && shown[1] >= 31 && shown[2] >= 63 && shown[2] < 100, `${shown}`);
    await ended(page);
    assert.equal(await bar.evaluate((element) => element.value), 100);
    assert.match(await status(page).innerText(), /^Done: 9 prompts, \d+ tokens\.$/);
    assert.equal(await page.locator('.steps li[data-state=completed]').count(), 3);
    assert.equal(await page.locator('.lane[data-state=completed]').count(), 9);
    assert.equal(await page.locator('.lane.selected').count(), 1);
    await page.getByText('chosen by the judge').waitFor();
    const { texts: expected } = await partsOf(page, url);
    assert.deepEqual((await copied(page)).sort(), expected.sort());
  },

  async cancel({ page, open, url }) {
    await open('generate');
    await start(page);
    await page.locator('.lane .text .block').first().waitFor();
    await page.getByRole('button', { name: 'Cancel', exact: true }).click();
    await ended(page);
    assert.match(await status(page).innerText(), /^Cancelled\. The model's stream was closed/);
    assert.equal((await partsOf(page, url)).state, 'cancelled');
    assert.equal(await page.locator('.lane[data-state=running]').count(), 0);
  },

  async cancelOne({ page, open, url }) {
    await open('generate');
    await start(page);
    await page.getByRole('button', { name: 'Cancel Lane 2' }).first().click();
    await page.locator('.lane[data-state=cancelled]').waitFor();
    await ended(page);
    assert.equal((await partsOf(page, url)).state, 'completed');
    assert.equal(await page.locator('.lane[data-state=cancelled]').count(), 1);
  },

  /** Goes away in mid-stream, comes back, and has every word once. */
  async offline({ page, context, network, open, url }) {
    await open('generate', network.url);
    await loseAndFind({ page, context, network }, 'generate', {
      start: () => start(page),
      begun: () => page.locator('.lane .text .block').first().waitFor(),
    });
    await ended(page);
    assert.match(await status(page).innerText(), /^Done/);
    const { texts: expected } = await partsOf(page, url);
    assert.deepEqual((await copied(page)).sort(), expected.sort());
  },

  async reload({ page, open, url }) {
    await open('generate');
    await page.locator('textarea[name=input]').fill('Explain tides to a child');
    await start(page);
    await page.locator('.lane .text .block').first().waitFor();
    const before = await texts(page);
    await page.reload();
    await page.waitForSelector('body[data-ready]');
    assert.equal(await page.locator('textarea[name=input]').inputValue(), 'Explain tides to a child');
    await page.locator('.lane .text .block').first().waitFor();
    await status(page).filter({ hasText: /of 9 prompts are there/ }).waitFor(); // it is still known
    await ended(page);
    assert.match(await status(page).innerText(), /^Done/);
    const { texts: expected } = await partsOf(page, url);
    assert.deepEqual((await copied(page)).sort(), expected.sort());
    assert.ok(before.length > 0);
  },

  /** Text of a model is text: nothing of it runs, loads or leaves. */
  async malicious({ page, open }) {
    await page.addInitScript(() => {
      window.pwned = [];
      window.alert = (text) => window.pwned.push(text);
    });
    await open('generate');
    await page.locator('input[name=count]').fill('1');
    await start(page);
    await ended(page);
    await page.waitForTimeout(300);
    assert.deepEqual(await page.evaluate(() => window.pwned), []);
    const inside = page.locator('.lane .text');
    assert.equal(await inside.locator('script, img, iframe, form, input, style, svg, object').count(), 0);
    const links = await inside.locator('a[href]').evaluateAll((all) =>
      all.map((link) => [link.getAttribute('href'), link.rel]));
    assert.ok(links.length > 0, 'the harmless link is there');
    for (const [href, rel] of links) {
      assert.match(href, /^https:/);
      assert.match(rel, /noopener/);
    }
    const handlers = await inside.locator('*').evaluateAll((all) =>
      all.flatMap((each) => each.getAttributeNames()).filter((name) => /^on|style/.test(name)));
    assert.deepEqual(handlers, []);
    assert.ok(await inside.locator('strong').count() > 0, 'Markdown is rendered');
  },

  /** Ten megabytes arrive; the page answers all the while. */
  async huge({ page, open, given }) {
    await page.addInitScript(() => {
      window.longTasks = [];
      new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) window.longTasks.push(entry.duration);
      }).observe({ type: 'longtask', buffered: true });
    });
    await open('generate');
    await page.locator('input[name=count]').fill('1');
    await page.locator('details.more summary').first().click();
    for (const phase of ['Solutio', 'Coagulatio']) await page.getByLabel(phase).uncheck();
    await page.getByLabel('A judge chooses').uncheck();
    await start(page);
    // It has to answer in the middle of it: a click is seen within a moment.
    await page.locator('.lane .text .block').first().waitFor();
    const answered = [];
    for (let n = 0; n < 5; n += 1) {
      const before = Date.now();
      await page.getByRole('button', { name: /^Theme/ }).click();
      answered.push(Date.now() - before);
    }
    await page.waitForSelector('#section-generate .state:not([data-state=running])[data-state]', {
      timeout: 60_000,
    });
    assert.match(await status(page).innerText(), /^Done/);
    await page.waitForFunction(
      (size) => document.querySelector('.lane .text').textContent.length >= size,
      given.size, { timeout: 60_000, polling: 500 });
    const tasks = await page.evaluate(() => window.longTasks);
    return {
      answeredMs: answered,
      longTasks: tasks.length,
      longestMs: Math.round(Math.max(0, ...tasks)),
      blocks: await page.locator('.lane .block').count(),
    };
  },
};

/** How much of a session's beginning arrives before the network is cut: far from all of it. */
const BEGINNING_BYTES = 8_000;
const AWAY_MS = 700;

/**
 * Lose the network when a session has said a little, see that the page says so, and find it again.
 *
 * It is cut by what has passed through it: so it does not matter how fast the page is. The browser
 * is told that it is offline, and online again, as it would be.
 */
export async function loseAndFind({ page, context, network }, name, { start, begun }) {
  await page.evaluate(listen, name); // a connection may be back before anybody has looked
  const cut = network.cutAfter(BEGINNING_BYTES);
  await start();
  await cut;
  await page.waitForFunction(() => window.said.some((text) => /connection is lost/.test(text)));
  await begun();
  await context.setOffline(true);
  await page.waitForTimeout(AWAY_MS);
  network.restore();
  await context.setOffline(false);
}

/** In the page: keep everything that the status says from now on, in `said`. */
function listen(name) {
  const element = document.querySelector(`#section-${name} .status`);
  window.said = [];
  new MutationObserver(() => window.said.push(element.textContent)).observe(element, {
    childList: true,
    characterData: true,
    subtree: true,
  });
}
