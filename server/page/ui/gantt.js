/**
 * A session's parts in time: one line for each, one bar for each attempt.
 *
 * It is drawn as SVG with text in it, so that it can be read aloud and printed.
 * @module
 */

import { h, seconds } from './dom.js';

const SVG = 'http://www.w3.org/2000/svg';
const LINE = 22;
const WIDTH = 640;
const LEFT = 150;
const TOP = 22;

/** A picture of a session's parts. */
export class Gantt {
  /** @param {string} label */
  constructor(label) {
    this.svg = s('svg', { class: 'gantt', role: 'img', 'aria-label': label });
    this.element = h('div', { class: 'gantt-place' }, this.svg);
  }

  /**
   * Draw it.
   * @param {{created_at: number, parts: any[], parts_left_out: number}} session as observed
   * @param {number} now Unix seconds
   */
  show({ created_at: start, parts, parts_left_out: leftOut }, now) {
    const end = Math.max(start + 1, ...parts.map((part) => part.ended_at ?? now));
    const scale = (WIDTH - LEFT - 8) / (end - start);
    const x = (at) => LEFT + Math.max(0, at - start) * scale;
    const height = TOP + parts.length * LINE + (leftOut ? LINE : 0) + 4;
    this.svg.setAttribute('viewBox', `0 0 ${WIDTH} ${height}`);
    const drawn = [...axis(end - start, x, start, height)];
    parts.forEach((part, index) => drawn.push(line(part, TOP + index * LINE, x, now)));
    if (leftOut) {
      drawn.push(s('text', { x: 4, y: height - 8, class: 'quiet' }, `and ${leftOut} earlier parts`));
    }
    this.svg.replaceChildren(...drawn);
  }
}

function axis(duration, x, start, height) {
  const step = [0.5, 1, 2, 5, 10, 30, 60, 300, 600, 3600].find((each) => duration / each <= 6) ?? 7200;
  const marks = [];
  for (let at = 0; at <= duration; at += step) {
    marks.push(
      s('line', { x1: x(start + at), x2: x(start + at), y1: 14, y2: height, class: 'grid' }),
      s('text', { x: x(start + at) + 2, y: 11, class: 'quiet' }, seconds(at)));
  }
  return marks;
}

function line(part, y, x, now) {
  const name = nameOf(part);
  const group = s('g', { class: `line ${part.state}` });
  group.append(s('text', { x: 4, y: y + 14, class: 'name' }, name.length > 21 ? `${name.slice(0, 20)}…` : name));
  part.attempts.forEach(({ attempt, began_at: began }, index) => {
    const until = part.attempts[index + 1]?.began_at ?? part.ended_at ?? now;
    const isVoid = index < part.attempts.length - 1;
    const bar = s('rect', {
      x: x(began), y: y + 3, rx: 3, height: LINE - 6, width: Math.max(2, x(until) - x(began)),
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

function nameOf({ target, phase, index }) {
  const { prompt_id: prompt, ...rest } = target;
  if (prompt !== undefined) return `${phase} ${index + 1}`;
  return Object.values(rest).join(' ').replaceAll('_', ' ') || phase;
}

function s(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}
