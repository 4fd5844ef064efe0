/**
 * How the providers are: breaker, calls in flight, calls that wait, limits; one row for each.
 * Rows are kept by their name and only changed, as in the observer's other parts.
 * @module
 */

import { h, seconds } from './dom.js';

const COLUMNS = ['Provider', 'Health', 'In flight', 'Waiting', 'Limits', 'Calls', 'Failed', 'Retries'];
const BREAKERS = { closed: 'breaker closed', open: 'breaker open', half_open: 'breaker half open' };

/** A table of providers. */
export class ProviderTable {
  constructor() {
    this._rows = new Map();
    this._body = h('tbody', {});
    this._idle = h('p', { class: 'meta' });
    this.element = h('div', { class: 'providers', tabindex: 0, role: 'region', 'aria-label': 'Providers' },
      h('table', { class: 'plain' },
        h('thead', {}, h('tr', {}, ...COLUMNS.map((name) => h('th', { scope: 'col' }, name)))),
        this._body),
      this._idle);
  }

  /** @param {any[]} providers as observed */
  show(providers) {
    const idle = providers.filter(isIdle);
    const names = idle.map(({ name }) => name).join(', ');
    const text = names && `Played by the simulated one where they are asked: ${names}.`;
    if (this._idle.textContent !== text) this._idle.textContent = text;
    for (const provider of providers.filter((each) => !idle.includes(each))) {
      let row = this._rows.get(provider.name);
      if (!row) {
        row = h('tr', {}, h('th', { scope: 'row' }, provider.name),
          ...COLUMNS.slice(1).map(() => h('td', {})));
        this._rows.set(provider.name, row);
        this._body.append(row);
      }
      row.dataset.health = provider.healthy ? 'good' : provider.breaker === 'half_open' ? 'wait' : 'bad';
      cellsOf(provider).forEach((text, index) => {
        const cell = row.children[index + 1];
        if (cell.textContent !== text) cell.textContent = text;
      });
    }
  }
}

/** Whether nobody has asked it, and nobody will learn anything from its row. */
function isIdle({ name, simulated, healthy, calls }) {
  return simulated && healthy && calls === 0 && name !== 'simulated';
}

/** A provider's cells after its name. */
function cellsOf(provider) {
  return [
    healthOf(provider),
    provider.concurrency
      ? `${provider.open_upstreams} of ${provider.concurrency}` : String(provider.open_upstreams),
    String(provider.waiting),
    limitsOf(provider),
    String(provider.calls),
    String(provider.failed),
    String(provider.retries),
  ];
}

/** Health in words: never by colour alone. */
export function healthOf({ simulated, healthy, breaker, retry_after_s: again, reason }) {
  const left = again > 0 ? `, for ${seconds(again)}` : '';
  const state = `${BREAKERS[breaker] ?? breaker}${left}`;
  const why = !healthy && breaker === 'closed' ? ` (${reason})` : '';
  return `${healthy ? '●' : '✕'} ${simulated ? 'simulated, ' : ''}${state}${why}`;
}

function limitsOf({ concurrency, requests_per_minute: requests, tokens_per_minute: tokens }) {
  const limits = [
    concurrency && `${concurrency} at once`,
    requests && `${requests} requests/min`,
    tokens && `${tokens} tokens/min`,
  ].filter(Boolean);
  return limits.join(', ') || 'none';
}
