// Runs one check of a file in Chromium: `node browser.mjs <file> <check> <url> <out.json>`.
//
// Each check is an exported async function that is given a fresh page of a fresh profile. A script
// error, a violation of the page's own policy or a request to another host fails every check.

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';
import { Network } from './network.mjs';

export const FLAGS = [
  '--no-sandbox',
  '--disable-background-networking',
  '--disable-gpu',
  '--no-first-run',
  '--disable-component-update',
  '--disable-sync',
];

const [file, name, url, out, more = '{}'] = process.argv.slice(2);
const network = await new Network(url).open();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS });
try {
  const given = JSON.parse(more);
  const context = await browser.newContext({
    viewport: { width: given.width ?? 1440, height: 900 },
    colorScheme: given.scheme ?? 'light',
    permissions: ['clipboard-read', 'clipboard-write'],
    acceptDownloads: true,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const faults = [];
  page.on('pageerror', (error) => faults.push(`script error: ${error.message}`));
  page.on('console', (message) => {
    const text = message.text();
    if (given.mayViolate && /Content Security Policy/.test(text)) return; // inert, and stopped
    const isNetwork = /Failed to load resource|WebSocket connection|ERR_INTERNET/.test(text);
    if (message.type() === 'error' && !isNetwork) faults.push(`console: ${text}`);
  });
  page.on('request', (request) => {
    const isServer = [url, network.url].some((each) => request.url().startsWith(`${each}/`));
    const isOurs = isServer || /^(data|blob|about):/.test(request.url());
    if (!isOurs && !given.mayLeave) faults.push(`a request left: ${request.url()}`);
  });
  const { default: checks } = await import(file);
  const result = await checks[name]({
    page, context, url, network, given,
    open: (hash, base = url) => open(page, base, hash),
  });
  assert.deepEqual(faults, []);
  await writeFile(out, JSON.stringify(result ?? null));
} finally {
  await browser.close();
  network.close();
}

/** Open the page at a section, and wait until it is there. */
async function open(page, base, hash = '') {
  await page.goto(`${base}/#${hash}`);
  await page.waitForSelector('body[data-ready]');
}
