/**
 * The raw messages panel: what came over the wire, as it came. Bounded: the newest ones are kept.
 * Messages can be sent by hand from here as well.
 * @module
 */

import { WireConsole } from './console.js';
import { button, h } from './dom.js';

const KEPT = 500;
const SHOWN_CHARS = 2000;

class RawPanel {
  constructor() {
    this.console = new WireConsole((message, isSent) => this.add(isSent ? 'sent' : 'ws', message));
    this.list = h('ol', { class: 'messages', tabindex: 0, 'aria-label': 'Messages' });
    this.element = h(
      'aside',
      { class: 'raw', id: 'raw', hidden: true, 'aria-label': 'Raw messages' },
      h('header', {}, h('h2', {}, 'Raw messages'), button('Clear', () => this.clear(), 'small')),
      this.console.element,
      this.list,
    );
    this.toggle = button('Raw', () => this.show(this.element.hidden), 'small', {
      'aria-expanded': 'false',
      'aria-controls': 'raw',
      title: 'Show the messages of the wire',
    });
    this._new = [];
    this._isDue = false;
  }

  show(isShown) {
    this.element.hidden = !isShown;
    this.toggle.setAttribute('aria-expanded', String(isShown));
    document.body.classList.toggle('has-raw', isShown);
    if (isShown) this._render();
  }

  clear() {
    this._new = [];
    this.list.replaceChildren();
  }

  /** @param {string} name the section */
  add(name, message) {
    if (isDebugging()) console.log(`[${name}]`, message);
    this._new.push([name, message]);
    if (this._new.length > KEPT) this._new.splice(0, this._new.length - KEPT);
    if (this.element.hidden || this._isDue) return;
    this._isDue = true;
    requestAnimationFrame(() => this._render());
  }

  _render() {
    this._isDue = false;
    this.list.append(...this._new.map(([name, message]) => this._line(name, message)));
    this._new = [];
    while (this.list.childElementCount > KEPT) this.list.firstChild.remove();
    this.list.scrollTop = this.list.scrollHeight;
  }

  _line(name, message) {
    const text = JSON.stringify(message);
    const shown = text.length > SHOWN_CHARS ? `${text.slice(0, SHOWN_CHARS)} …` : text;
    return h('li', {}, h('b', {}, message.type ?? name), ` ${shown}`);
  }
}

/** Whether each event goes to the console too (contract 2): localStorage.DEBUG_STREAMING. */
function isDebugging() {
  try {
    return localStorage.getItem('DEBUG_STREAMING') === 'true';
  } catch {
    return false;
  }
}

export const raw = new RawPanel();
