/**
 * A session's parts in time: one line for each, one bar for each attempt, and a button beside each
 * part that is at work, which cancels it alone.
 *
 * It is drawn as SVG with text in it, as wide as there is room: nothing is scaled, so it can be
 * read on a phone too. Buttons are kept by their part, so that the focus stays where it is.
 * @module
 */

import { button, h, seconds } from './dom.js';

const SVG = 'http://www.w3.org/2000/svg';
const LINE = 28;
const TOP = 22;
/** Room for a part's button. */
const RIGHT = 34;
const NARROW = 480;
/** What a cancel may name; `round` and `field` say more than it can. */
const NAMES = ['prompt_id', 'persona_id', 'raterName', 'stage'];

/** A picture of a session's parts. */
export class Gantt {
  /**
   * @param {string} label
   * @param {(target: object, name: string) => Promise<void>} onCancel cancels a part alone
   */
  constructor(label, onCancel) {
    this._onCancel = onCancel;
    this.svg = s('svg', { class: 'gantt', role: 'img', 'aria-label': label });
    this.element = h('div', { class: 'gantt-place' }, this.svg);
    /** @type {Map<string, HTMLButtonElement>} */
    this._buttons = new Map();
  }

  /**
   * Draw it.
   * @param {{created_at: number, parts: any[], parts_left_out: number}} session as observed
   * @param {number} now Unix seconds
   */
  show({ created_at: start, parts, parts_left_out: leftOut }, now) {
    const width = Math.max(240, this.element.clientWidth);
    const left = width < NARROW ? 104 : 150;
    const end = Math.max(start + 1, ...parts.map((part) => part.ended_at ?? now));
    const scale = (width - left - RIGHT) / (end - start);
    const x = (at) => left + Math.max(0, at - start) * scale;
    const height = TOP + parts.length * LINE + (leftOut ? LINE : 0) + 4;
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    this.svg.setAttribute('height', String(height));
    const letters = width < NARROW ? 14 : 21;
    const drawn = [...axis(end - start, x, start, height, width)];
    parts.forEach((part, index) => drawn.push(line(part, TOP + index * LINE, x, now, letters)));
    if (leftOut) {
      drawn.push(s('text', { x: 4, y: height - 8, class: 'quiet' }, `and ${leftOut} earlier parts`));
    }
    this.svg.replaceChildren(...drawn);
    this._showButtons(parts);
  }

  _showButtons(parts) {
    const atWork = new Set();
    parts.forEach((part, index) => {
      const target = targetOf(part);
      if (part.state !== 'running' || part.ended_at || !target) return;
      atWork.add(part.id);
      let cancel = this._buttons.get(part.id);
      if (!cancel) {
        const name = nameOf(part);
        cancel = button('✕', () => this._press(cancel, target, name), 'cut', {
          'aria-label': `Cancel ${name}`, title: `Cancel ${name} alone`,
        });
        this._buttons.set(part.id, cancel);
        this.element.append(cancel);
      }
      cancel.style.top = `${TOP + index * LINE + (LINE - 24) / 2 - 1}px`;
    });
    for (const [id, cancel] of this._buttons) {
      if (atWork.has(id)) continue;
      cancel.remove();
      this._buttons.delete(id);
    }
  }

  async _press(cancel, target, name) {
    cancel.disabled = true;
    try {
      await this._onCancel(target, name);
    } catch {
      cancel.disabled = false; // what went wrong was said
    }
  }
}

function axis(duration, x, start, height, width) {
  const most = width < NARROW ? 4 : 6;
  const step = [0.5, 1, 2, 5, 10, 30, 60, 300, 600, 3600].find((each) => duration / each <= most) ?? 7200;
  const marks = [];
  for (let at = 0; at <= duration; at += step) {
    marks.push(
      s('line', { x1: x(start + at), x2: x(start + at), y1: 14, y2: height, class: 'grid' }),
      s('text', { x: x(start + at) + 2, y: 11, class: 'quiet' }, seconds(at)));
  }
  return marks;
}

function line(part, y, x, now, letters) {
  const name = nameOf(part);
  const shown = shortened(name, letters);
  const group = s('g', { class: `line ${part.state}` });
  group.append(s('text', { x: 4, y: y + LINE / 2 + 3, class: 'name' }, shown));
  part.attempts.forEach(({ attempt, began_at: began }, index) => {
    const until = part.attempts[index + 1]?.began_at ?? part.ended_at ?? now;
    const isVoid = index < part.attempts.length - 1;
    const bar = s('rect', {
      x: x(began), y: y + 5, rx: 3, height: LINE - 10, width: Math.max(2, x(until) - x(began)),
      class: isVoid ? 'void' : part.state,
    });
    bar.append(s('title', {}, `${name}, attempt ${attempt}: ${isVoid ? 'void' : part.state}, ` +
      `${seconds(Math.max(0, until - began))}, ${part.tokens} tokens, ${part.provider} ${part.model}`));
    group.append(bar);
  });
  if (part.open_upstreams) {
    group.append(s('circle', { cx: x(now), cy: y + LINE / 2, r: 4, class: 'upstream' },
      s('title', {}, 'the stream to the model is open')));
  }
  return group;
}

/** What a cancel has to name for this part; undefined where no target names it. */
function targetOf({ target }) {
  const words = Object.entries(target).filter(([name]) => NAMES.includes(name));
  return words.length > 0 ? Object.fromEntries(words) : undefined;
}

function nameOf({ target, phase, index }) {
  const { prompt_id: prompt, ...rest } = target;
  if (prompt !== undefined) return `${phase} ${index + 1}`;
  return Object.values(rest).join(' ').replaceAll('_', ' ') || phase;
}

/** Cut a name in its middle: what tells lanes apart stands at its end. */
function shortened(name, letters) {
  if (name.length <= letters) return name;
  const last = name.slice(-3);
  return `${name.slice(0, letters - last.length - 1).trimEnd()}…${last}`;
}

function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}
