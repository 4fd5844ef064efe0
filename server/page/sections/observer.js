/**
 * Observer: the running system, as its own supervisors see it.
 *
 * The feed gives the whole of a moment, twice a second. Elements are kept by their keys and only
 * changed, so that whoever reads or tabs through the tree is not thrown out of it.
 * @module
 */

import { readEvents } from '../antiphon.js';
import { Backoff } from '../antiphon/backoff.js';
import { button, h, seconds } from '../ui/dom.js';
import { Gantt } from '../ui/gantt.js';
import { ProviderTable } from '../ui/providers.js';

const KEPT_ENDED = 20;

/**
 * @param {HTMLElement} place
 * @param {import('../antiphon.js').Client} client
 */
export async function open(place, client) {
  const section = new Observer(client);
  place.append(...section.elements);
  return { shown: (isShown) => section.show(isShown) };
}

class Observer {
  constructor(client) {
    this.client = client;
    this.status = h('p', { class: 'status', role: 'status' }, 'Connecting …');
    this.engine = h('ul', { class: 'tree', 'aria-label': 'The engine’s own actors' });
    this.providers = new ProviderTable();
    this.health = h('summary', {}, 'Providers');
    this.list = h('div', { class: 'observed' });
    this.none = h('p', { class: 'lead' },
      'No session runs. Start one in another tab or section, and it appears here.');
    /** @type {Map<string, Row>} */
    this.rows = new Map();
    this.stop = null;
    this.elements = [
      h('h1', { id: 'title-observer' }, 'What is running'),
      h('p', { class: 'lead' },
        'Every session with its actors, mailboxes and open streams to models, and its parts in ' +
        'time. Sessions and single parts can be cancelled from here too.'),
      this.status,
      h('details', { class: 'more', open: true }, this.health, this.providers.element),
      h('details', { class: 'more' }, h('summary', {}, 'The engine'), this.engine),
      this.none,
      this.list,
    ];
  }

  /** Follow the feed as long as the section is shown. */
  show(isShown) {
    if (!isShown) {
      this.stop?.abort();
      this.stop = null;
    } else if (!this.stop) {
      this.stop = new AbortController();
      void this._follow(this.stop.signal);
    }
  }

  async _follow(signal) {
    const backoff = new Backoff();
    while (!signal.aborted) {
      try {
        const response = await this.client.server.fetch('/api/observer', { signal });
        for await (const { data } of readEvents(response.body)) {
          backoff.reset();
          this._take(JSON.parse(data));
        }
        this.status.textContent = 'The server has closed the feed; coming back …';
      } catch (error) {
        if (signal.aborted) return;
        if (error.status === 403 || error.status === 401) {
          this.status.textContent = error.message;
          return;
        }
        this.status.textContent = 'The connection is lost; coming back …';
      }
      await backoff.wait(signal);
    }
  }

  _take(seen) {
    const upstreams = seen.sessions.reduce((sum, each) => sum + each.open_upstreams, 0);
    this.status.textContent =
      `${seen.running} ${seen.running === 1 ? 'session' : 'sessions'} at work, ` +
      `${upstreams} open ${upstreams === 1 ? 'stream' : 'streams'} to models` +
      `${seen.is_draining ? '; the server drains' : ''}`;
    this.providers.show(seen.providers);
    const ill = seen.providers.filter(({ healthy }) => !healthy).length;
    this.health.textContent = ill ? `Providers: ${ill} of ${seen.providers.length} not healthy` : 'Providers';
    tree(this.engine, seen.actors, seen.monotonic_at);
    const here = new Set();
    for (const session of [...seen.sessions].reverse()) {
      here.add(session.session_id);
      let row = this.rows.get(session.session_id);
      if (!row) {
        row = new Row(this.client, session);
        this.rows.set(session.session_id, row);
        this.list.prepend(row.element);
      }
      row.take(session, seen);
    }
    for (const [id, row] of this.rows) if (!here.has(id)) row.ended(seen.at);
    const ended = [...this.rows].filter(([, row]) => row.isEnded);
    for (const [id, row] of ended.slice(0, Math.max(0, ended.length - KEPT_ENDED))) {
      row.element.remove();
      this.rows.delete(id);
    }
    this.none.hidden = this.rows.size > 0;
  }
}

/** One session. */
class Row {
  constructor(client, { session_id: id, protocol }) {
    this.client = client;
    this.id = id;
    this.isEnded = false;
    this.badge = h('span', { class: 'badge' });
    this.facts = h('p', { class: 'meta' });
    this.gantt = new Gantt(`Parts of session ${id} in time`, (target) => this._cancelPart(target));
    this.said = h('p', { class: 'error', role: 'alert' });
    this.tree = h('ul', { class: 'tree', 'aria-label': 'Actors' });
    this.cancel = button('Cancel', () => void this._cancel(), 'small', {
      'aria-label': `Cancel session ${id}`,
    });
    this.element = h('article', { class: 'card session', 'aria-label': `${protocol} session ${id}` },
      h('header', {}, h('h2', {}, protocol, ' ', h('small', { class: 'mono' }, id.slice(0, 8))),
        h('span', { class: 'row' }, this.cancel, this.badge)),
      this.facts,
      this.said,
      h('div', { class: 'sides' }, this.gantt.element, this.tree));
  }

  async _cancel() {
    this.cancel.disabled = true;
    try {
      await this.client.cancel(this.id);
    } catch (error) {
      this.said.textContent = error.message;
      this.cancel.disabled = false;
    }
  }

  /** Cancel one part; the rest of the session goes on. */
  async _cancelPart(target) {
    this.said.textContent = '';
    try {
      await this.client.cancel(this.id, target);
    } catch (error) {
      this.said.textContent = error.message;
      throw error;
    }
  }

  take(session, { at, monotonic_at: now }) {
    this.session = session;
    const { log } = session;
    this._state(session.is_stopping ? 'stopping' : session.is_waiting ? 'waiting' : session.state);
    this.facts.textContent = [
      session.owner && `of ${session.owner}`,
      seconds(session.age_s),
      session.phase && `phase ${session.phase}`,
      `${Math.round(session.progress_percent)} %`,
      `${session.open_upstreams} open upstream`,
      `${log.readers} ${log.readers === 1 ? 'reader' : 'readers'}`,
      `seq ${log.head}`,
      `window ${log.window_events} events${log.is_full ? ', full: producers wait' : ''}`,
      session.is_detached ? 'detached' : 'attached',
    ].filter(Boolean).join(' · ');
    this.gantt.show(session, at);
    tree(this.tree, session.actors, now);
  }

  /** It is not among the running ones any more: ask once how it ended. */
  async ended(at) {
    if (this.isEnded) return;
    this.isEnded = true;
    this.cancel.hidden = true;
    this.tree.replaceChildren();
    this._state('completed');
    try {
      const shown = await this.client.server.json(`/api/sessions/${encodeURIComponent(this.id)}`);
      this._state(shown.state);
      const states = new Map(shown.parts.map((part) => [JSON.stringify(part.target), part]));
      for (const part of this.session.parts) {
        part.state = states.get(JSON.stringify(part.target))?.state ?? part.state;
        if (part.state === 'running') part.state = shown.state; // it was cut with the whole
        part.ended_at ??= at;
        part.open_upstreams = 0;
      }
      const usage = shown.usage?.total_tokens;
      this.facts.textContent =
        `${shown.state} after ${seconds(this.session.age_s)}${usage ? ` · ${usage} tokens` : ''}`;
    } catch {
      this._state('ended');
    }
    this.gantt.show(this.session, at);
  }

  _state(state) {
    this.element.dataset.state = state;
    this.badge.textContent = state;
  }
}

/** Show actors as a tree; items are kept by their place, so that nothing jumps. */
function tree(list, actors, now) {
  const shown = actors.filter((actor) => !(actor.name?.endsWith('.exits') && actor.depth === 0));
  shown.forEach((actor, index) => {
    let item = list.children[index];
    if (!item) {
      item = h('li', {}, h('span', { class: 'icon', 'aria-hidden': 'true' }), h('span', {}), h('ul', {}));
      list.append(item);
    }
    const [kind, text, inside] = described(actor, now);
    const [icon, words, below] = item.children;
    item.dataset.kind = kind;
    item.dataset.state = actor.state ?? '';
    icon.textContent = { supervisor: '◆', group: '◇', mailbox: '▭', actor: '●' }[kind];
    if (words.textContent !== text) words.textContent = text;
    tree(below, inside, now);
    below.hidden = inside.length === 0;
  });
  while (list.childElementCount > shown.length) list.lastChild.remove();
}

/** Say what an actor is: [kind, text, what is inside it]. */
function described(actor, now) {
  const age = actor.started_at ? `, ${seconds(Math.max(0, now - actor.started_at))}` : '';
  if ('children' in actor) {
    return ['supervisor', `${actor.name.replace(/ ?[0-9a-f-]{36}/, '')}: ${actor.strategy.replaceAll('_', ' ')}`, actor.children];
  }
  if ('members' in actor) return ['group', `fan-out: ${actor.policy}`, actor.members];
  if ('depth' in actor) {
    const waits = actor.senders_waiting ? `, ${actor.senders_waiting} senders wait` : '';
    return ['mailbox', `${actor.name}: ${actor.depth} of ${actor.size}${waits}`, []];
  }
  const restarts = actor.restarts ? `, restarted ${actor.restarts} times` : '';
  const again = actor.attempt > 1 ? `, attempt ${actor.attempt}` : '';
  const error = actor.error ? `, last error ${actor.error}` : '';
  return ['actor', `${actor.id}: ${actor.state}${age}${restarts}${again}${error}`, actor.inside ?? []];
}
