/**
 * The stages of a pipeline, each with its icon: not yet, at work, done, failed.
 * @module
 */

import { h } from './dom.js';

const ICONS = { waiting: '○', running: '◔', completed: '●', failed: '✕', cancelled: '■' };
const WORDS = {
  waiting: 'not yet',
  running: 'at work',
  completed: 'done',
  failed: 'failed',
  cancelled: 'cancelled',
};

/** A row of stages. */
export class Steps {
  /**
   * @param {string} label
   * @param {[id: string, name: string, hint?: string][]} stages in their order
   */
  constructor(label, stages) {
    this._steps = new Map();
    this.element = h('ol', { class: 'steps', 'aria-label': label });
    for (const [id, name, hint] of stages) {
      const icon = h('span', { class: 'icon', 'aria-hidden': 'true' });
      const word = h('span', { class: 'hidden' });
      const item = h('li', {}, icon, h('span', {}, name, hint && h('small', {}, hint)), word);
      this._steps.set(id, { item, icon, word });
      this.element.append(item);
    }
    this.clear();
  }

  /** Say where a stage stands. */
  set(id, state) {
    const step = this._steps.get(id);
    if (!step || step.item.dataset.state === state) return;
    step.item.dataset.state = state;
    step.icon.textContent = ICONS[state];
    step.word.textContent = `, ${WORDS[state]}`;
    if (state === 'running') step.item.setAttribute('aria-current', 'step');
    else step.item.removeAttribute('aria-current');
  }

  /** Say that a stage works, and that all before it are done. */
  reach(id) {
    if (!this._steps.has(id)) return;
    for (const [each, { item }] of this._steps) {
      if (each === id) break;
      if (!item.hidden) this.set(each, 'completed');
    }
    this.set(id, 'running');
  }

  /** Show these stages only: the others are no part of this run. */
  only(ids) {
    for (const [id, { item }] of this._steps) item.hidden = !ids.includes(id);
  }

  /** Nothing works any more: what was at work was cut or, with `state`, ended so. */
  end(state = 'cancelled') {
    for (const [id, { item }] of this._steps) {
      if (item.dataset.state === 'running') this.set(id, state);
    }
  }

  clear() {
    for (const id of this._steps.keys()) this.set(id, 'waiting');
  }
}
