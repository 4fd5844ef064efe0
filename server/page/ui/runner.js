/**
 * What all sections have in common: one session at a time that is started, cancelled, lost and
 * found again; its state in words, in the bar and in the address.
 * @module
 */

import { button, h } from './dom.js';
import { raw } from './raw.js';

/** A section's session. */
export class Runner {
  /**
   * @param {string} name the section's word; the address is `#<name>/<session id>`
   * @param {object} parts
   * @param {string} [parts.start] the start button's text
   * @param {boolean} [parts.hasBar] whether there is a progress bar
   */
  constructor(name, { start = 'Start', hasBar = true } = {}) {
    this.name = name;
    this.startButton = h('button', { class: 'primary', type: 'submit' }, start);
    this.cancelButton = button('Cancel', () => this.cancel(), '', { disabled: true });
    this.status = h('p', { class: 'status', role: 'status' });
    this.bar = hasBar
      ? h('progress', { max: 100, value: 0, hidden: true, 'aria-label': 'Progress' })
      : null;
    this.buttons = h('div', { class: 'row' }, this.startButton, this.cancelButton);
    this.element = h('div', { class: 'state' }, this.bar, this.status);
    this.sessionId = null;
    this._stop = null;
    this._said = '';
    this._isLost = false;
    this._timer = 0;
  }

  get isRunning() {
    return this._stop !== null;
  }

  /** Cancel the session; its end comes as for any other. */
  cancel() {
    if (!this._stop) return;
    this.say('Cancelling …');
    this.cancelButton.disabled = true;
    this._stop.abort();
  }

  /** Say where it stands; at most four times a second, for screen readers read each one. */
  say(text, isNow = false) {
    this._said = text;
    if (this._timer && !isNow) return;
    clearTimeout(this._timer);
    this.status.textContent = text;
    this._timer = setTimeout(() => {
      this._timer = 0;
      if (this.status.textContent !== this._said) this.say(this._said);
    }, 250);
  }

  /** Move the bar; it never goes back. */
  progress(percent) {
    if (!this.bar || typeof percent !== 'number') return;
    this.bar.hidden = false;
    this.bar.value = Math.max(this.bar.value, percent);
  }

  /**
   * Run one call of the module to its end.
   * @template T
   * @param {(handlers: object, options: {signal: AbortSignal, sessionId?: string}) => Promise<T>} call
   * @param {{sessionId?: string, handlers?: Record<string, any>}} [how] `sessionId` follows one
   *   that was started before a reload
   * @returns {Promise<T | undefined>} undefined where it failed or was cancelled: that was said
   */
  async run(call, { sessionId, handlers = {} } = {}) {
    this._stop = new AbortController();
    this.startButton.disabled = true;
    this.cancelButton.disabled = false;
    if (this.bar) {
      this.bar.hidden = true;
      this.bar.value = 0;
    }
    this.element.dataset.state = 'running';
    this.say(sessionId ? 'Coming back to the session …' : 'Starting …');
    try {
      const result = await call(
        { ...handlers, ...this._handlers(handlers) },
        { signal: this._stop.signal, sessionId },
      );
      this.element.dataset.state = 'completed';
      this.progress(100);
      return result;
    } catch (error) {
      this._failed(error);
      return undefined;
    } finally {
      this._stop = null;
      this.startButton.disabled = false;
      this.cancelButton.disabled = true;
    }
  }

  /** Say how far it is; while the connection is lost, that is what there is to say. */
  note(text) {
    if (!this._isLost) this.say(text);
  }

  _handlers(own) {
    return {
      onSession: (session) => {
        this.sessionId = session.sessionId;
        remember(this.name, session.sessionId);
        own.onSession?.(session);
      },
      onMessage: (message) => {
        raw.add(this.name, message);
        return own.onMessage?.(message);
      },
      onConnection: (state) => {
        document.body.dataset.connection = state;
        this._isLost = state === 'lost';
        if (state === 'lost') this.say('The connection is lost; coming back …', true);
        if (state === 'draining') this.say('The server restarts; the session goes on afterwards.');
        if (state === 'live' && this._said.startsWith('The connection')) this.say('Back again.');
        own.onConnection?.(state);
      },
    };
  }

  _failed(error) {
    if (error.name === 'AbortError') {
      this.say(cancelledText(error), true);
      this.element.dataset.state = 'cancelled';
      return;
    }
    if (!error.code) console.error(error);
    this.element.dataset.state = 'failed';
    const details = (error.details ?? []).map(({ path, message }) => `${path}: ${message}`);
    this.say(`${error.message}${details.length > 1 ? ` (${details.join('; ')})` : ''}`, true);
    if (error.code === 'unauthenticated') document.dispatchEvent(new Event('login-needed'));
  }
}

/** A cancel in words, with its proof. */
export function cancelledText({ receipt, usage }) {
  if (!receipt) return 'Cancelled.';
  const closed = receipt.upstream_closed_ms;
  const proof =
    closed === null || closed === undefined
      ? 'No model was writing.'
      : `The model's stream was closed ${closed < 1 ? 'within a millisecond' : `in ${Math.round(closed)} ms`}.`;
  const used = usage?.total_tokens ? ` ${usage.total_tokens} tokens were used.` : '';
  return `Cancelled. ${proof}${used}`;
}

/** Keep a section's session in the address, so that a reload finds it. */
export function remember(name, sessionId) {
  const address = `#${name}/${sessionId}`;
  if (location.hash.startsWith(`#${name}`)) history.replaceState(null, '', address);
  sessionStorage.setItem(`session:${name}`, sessionId);
}

/** The session to come back to in this section, if there is one. */
export function remembered(name) {
  const [section, id] = location.hash.slice(1).split('/');
  if (section === name && id) return decodeURIComponent(id);
  return sessionStorage.getItem(`session:${name}`) ?? undefined;
}

/** Keep a form's values over a reload. */
export function keepForm(form, name) {
  const key = `form:${name}`;
  const controls = () => [...form.elements].filter((each) => each.name && each.type !== 'password');
  try {
    const kept = JSON.parse(sessionStorage.getItem(key) ?? '{}');
    for (const control of controls()) {
      if (!(control.name in kept)) continue;
      if (control.type === 'checkbox') control.checked = kept[control.name];
      else control.value = kept[control.name];
    }
  } catch {
    sessionStorage.removeItem(key);
  }
  form.addEventListener('input', () => {
    const values = controls().map((each) => [
      each.name,
      each.type === 'checkbox' ? each.checked : each.value,
    ]);
    sessionStorage.setItem(key, JSON.stringify(Object.fromEntries(values)));
  });
}
