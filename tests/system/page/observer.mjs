import assert from 'node:assert/strict';

export default {
  /** Shows a session that runs elsewhere, and cancels it from here. */
  async watch({ page, context, open, url }) {
    const other = await context.newPage();
    await other.goto(`${url}/#generate`);
    await other.waitForSelector('body[data-ready]');
    await open('observer');
    await page.getByText('No session runs.').waitFor();
    await other.getByRole('button', { name: 'Start' }).click();
    const row = page.locator('.session');
    await row.waitFor();
    await row.locator('.gantt rect.running').first().waitFor();
    await row.locator('.gantt .upstream').first().waitFor();
    await row.getByText('generate: one for one').waitFor();
    await row.getByText(/^solutio: running/).waitFor();
    await row.getByText('after solutio: 0 of 3').waitFor();
    assert.match(await page.locator('#section-observer .status').innerText(), /^1 session at work, \d+ open/);
    const provider = page.locator('.providers tr', { hasText: 'simulated' }).first();
    await provider.getByText(/breaker closed/).waitFor();
    // One part is cancelled from its line: the others go on.
    const id = (await row.getByRole('button', { name: /^Cancel session/ }).getAttribute('aria-label')).split(' ').at(-1);
    const cut = row.getByRole('button', { name: /^Cancel (prima-materia|solutio|coagulatio) 2$/ });
    await cut.click();
    await row.locator('.gantt rect.cancelled').waitFor();
    await cut.waitFor({ state: 'detached' });
    await row.getByRole('button', { name: /^Cancel \S+ [13]$/ }).first().waitFor();
    const seen = await (await fetch(`${url}/api/sessions/${id}`)).json();
    assert.equal(seen.state, 'running');
    assert.equal(seen.parts.filter(({ state }) => state === 'cancelled').length, 1);
    assert.equal(await row.locator('.error').innerText(), '');
    await page.getByRole('button', { name: /^Cancel session/ }).click();
    await row.locator('.badge', { hasText: 'cancelled' }).waitFor();
    await other.locator('#section-generate .status', { hasText: 'Cancelled.' }).waitFor();
    await page.locator('#section-observer .status', { hasText: '0 sessions' }).waitFor();
    await row.locator('.gantt rect.cancelled').first().waitFor();
  },
};
