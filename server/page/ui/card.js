/**
 * A card: one text that somebody writes, with who, how fast, and what can be done with it.
 * @module
 */

import { button, copyButton, downloadButton, h, seconds } from './dom.js';
import { TextView } from './text.js';

const STATES = {
  waiting: 'waiting',
  running: 'writing',
  completed: 'done',
  failed: 'failed',
  cancelled: 'cancelled',
};

/** One text. */
export class TextCard {
  /**
   * @param {object} how
   * @param {string} how.title
   * @param {string} [how.subtitle]
   * @param {() => void} [how.onCancel]
   * @param {() => void} [how.onRetry]
   * @param {string} [how.file] a name for Download
   * @param {boolean} [how.isMarkdown]
   * @param {boolean} [how.isAsked] whether it was just asked for: then the first token is timed
   * @param {string} [how.level] the heading's tag
   */
  constructor({
    title, subtitle, onCancel, onRetry, file, isMarkdown = true, isAsked = false, level = 'h3',
  }) {
    this._isAsked = isAsked;
    this.text = '';
    this.view = new TextView({ label: `${title}: text`, isMarkdown });
    this.badge = h('span', { class: 'badge' }, STATES.waiting);
    this.meta = h('p', { class: 'meta' });
    this.cancelButton =
      onCancel && button('Cancel', onCancel, 'small', { 'aria-label': `Cancel ${title}` });
    this.retryButton =
      onRetry && button('Retry', onRetry, 'small', { hidden: true, 'aria-label': `Retry ${title}` });
    this.title = title;
    this.element = h(
      'article',
      { class: 'card', 'data-state': 'waiting', 'aria-label': title },
      h('header', {},
        h(level, {}, title, subtitle && h('small', {}, ` ${subtitle}`)), this.badge),
      this.meta,
      this.view.element,
      h('footer', { class: 'row' },
        this.cancelButton,
        this.retryButton,
        copyButton(() => this.text, 'Copy', title),
        file && downloadButton(() => this.text, file, 'Download', title)),
    );
    this._state = 'waiting';
    this._startedAt = performance.now();
    this._firstAt = 0;
    this._about = '';
  }

  get state() {
    return this._state;
  }

  set state(state) {
    if (state === this._state) return;
    this._state = state;
    this.element.dataset.state = state;
    this.badge.textContent = STATES[state] ?? state;
    const isOpen = state === 'running' || state === 'waiting';
    if (this.cancelButton) this.cancelButton.hidden = !isOpen;
    if (this.retryButton) this.retryButton.hidden = isOpen;
    if (!isOpen) this.view.finish();
    this._measure(true);
  }

  /** As `onText` of the module has it. */
  update(text, added, tokens) {
    if (added !== null && !this._firstAt) this._firstAt = performance.now();
    this.text = text;
    this.view.update(text, added);
    if (tokens !== undefined) this.tokens = tokens;
    if (this._state !== 'running' && added !== null) this.state = 'running';
    this._measure();
  }

  /** Show a text that is complete. */
  set(text) {
    this.text = text;
    this.view.set(text);
  }

  /** Say more than can be measured: who writes. */
  about(text) {
    this._about = text;
    this._measure(true);
  }

  /** Say it again: the text so far was void. */
  again(attempt, reason) {
    this._firstAt = 0;
    this._attempt = `attempt ${attempt} (${reason})`;
    this._settled = undefined;
    this._startedAt = performance.now();
    this._measure(true);
  }

  /** Replace what was measured here by what the server measured. */
  settle({ firstTokenS, totalS, tokens }) {
    this._settled = [
      firstTokenS !== undefined && firstTokenS !== null && `first token ${seconds(firstTokenS)}`,
      tokens !== undefined && `${tokens} tokens`,
      tokens && totalS && `${Math.round(tokens / Math.max(totalS - (firstTokenS ?? 0), 0.001))} tokens/s`,
    ].filter(Boolean);
    this._measure(true);
  }

  _measure(isNow = false) {
    const now = performance.now();
    if (!isNow && now - (this._measuredAt ?? 0) < 200) return;
    this._measuredAt = now;
    const parts = this._settled ?? [];
    if (!this._settled && this._firstAt) {
      if (this._state === 'running') this._lastAt = now;
      const tokens = this.tokens ?? Math.round(this.text.length / 4);
      const isGuess = this.tokens === undefined ? '~' : '';
      const took = ((this._lastAt ?? now) - this._firstAt) / 1000;
      const waited = (this._firstAt - this._startedAt) / 1000;
      if (this._isAsked) parts.push(`first token ${seconds(waited)}`);
      parts.push(`${isGuess}${tokens} tokens`);
      if (took > 0.2) parts.push(`${isGuess}${Math.round(tokens / took)} tokens/s`);
    }
    this.meta.textContent = [this._about, this._attempt, ...parts].filter(Boolean).join(' · ');
  }
}
