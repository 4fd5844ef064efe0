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
    await page.getByRole('button', { name: /^Cancel session/ }).click();
    await row.locator('.badge', { hasText: 'cancelled' }).waitFor();
    await other.locator('#section-generate .status', { hasText: 'Cancelled.' }).waitFor();
    await page.locator('#section-observer .status', { hasText: '0 sessions' }).waitFor();
    await row.locator('.gantt rect.cancelled').first().waitFor();
  },
};
