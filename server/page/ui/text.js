/**
 * Shows a text that grows, however fast and however long.
 *
 * The one rule: what is written is never rendered again. The text is cut into blocks at blank lines
 * (or by length); a block that is complete is rendered once, and only the last one is open. All
 * views share one frame's time, so ten megabytes arrive as many short tasks and no long one.
 * Blocks that are out of sight cost no layout (`content-visibility` in page.css).
 * @module
 */

import { h } from './dom.js';
import { markdown } from './markdown.js';

const FRAME_MS = 6;
/** A block is at most this long: rendering one fits into a frame. */
const BLOCK = 4096;
/** Beyond this, Markdown's elements cost more than they are worth: the rest is plain text. */
const MARKDOWN_CHARS = 200_000;
/** Beyond this, blocks that are out of sight are not laid out. */
const LONG_CHARS = 30_000;
/** An open block is rendered this often, so that a long one costs little. */
const OPEN_MS = 60;

/** @type {Set<TextView>} */
const waiting = new Set();
let isDue = false;

function due(view) {
  waiting.add(view);
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(renderAll);
}

function renderAll() {
  isDue = false;
  const end = performance.now() + FRAME_MS;
  for (const view of [...waiting]) {
    waiting.delete(view); // and behind all others, where it is not done
    if (view._render(end)) due(view);
    if (performance.now() >= end) break;
  }
  if (waiting.size > 0 && !isDue) {
    isDue = true;
    requestAnimationFrame(renderAll);
  }
}

/** A text that grows. */
export class TextView {
  /** @param {{label: string, isMarkdown?: boolean}} how `label` names it for screen readers */
  constructor({ label, isMarkdown = true }) {
    this.element = h('div', { class: 'text', tabindex: 0, role: 'region', 'aria-label': label });
    this._isMarkdown = isMarkdown;
    this._clear();
    this._follows = true;
    this.element.addEventListener('scroll', () => {
      const { scrollTop, scrollHeight, clientHeight } = this.element;
      this._follows = scrollHeight - scrollTop - clientHeight < 40;
    }, { passive: true });
  }

  /**
   * Add text; as `onText` of the module has it.
   * @param {string} text all of it
   * @param {string | null} added what is new; null: begin again with `text`
   */
  update(text, added) {
    if (added === null) {
      this._clear();
      added = text;
    }
    if (added) this._pieces.push(added);
    due(this);
  }

  /** Show exactly this. */
  set(text) {
    this.update(text, null);
  }

  /** All is there: the last block is complete. */
  finish() {
    this._isFinished = true;
    due(this);
  }

  _clear() {
    this._pieces = [];
    this._tail = ''; // the open block's text
    this._fence = ''; // the line that opened a code block which an earlier block had to cut
    this._shown = 0;
    this._open = null;
    this._openAt = 0;
    this._isFinished = false;
    this._isCleared = true;
  }

  /** Render until a moment; gives whether there is more to do. */
  _render(end) {
    if (this._isCleared) {
      this.element.replaceChildren();
      this.element.classList.remove('long');
      this._isCleared = false;
    }
    do {
      this._take();
      const cut = this._tail.length >= BLOCK ? lastBreak(this._tail) : this._cut();
      if (cut > 0) this._complete(cut);
      else break;
    } while (performance.now() < end);
    const hasMore = this._pieces.length > 0 || this._tail.length >= BLOCK;
    const isLast = this._isFinished && !hasMore;
    const wait = !isLast && performance.now() - this._openAt < OPEN_MS;
    if (!hasMore && !wait) this._showOpen();
    if (this._follows) this.element.scrollTop = this.element.scrollHeight;
    return hasMore || wait;
  }

  /** Take pieces up to a block's length. */
  _take() {
    let size = this._tail.length;
    let count = 0;
    while (size < BLOCK && count < this._pieces.length) size += this._pieces[count++].length;
    if (count > 0) this._tail += this._pieces.splice(0, count).join('');
    if (this._tail.length > 2 * BLOCK) { // a long piece goes back, all but a block of it
      this._pieces.unshift(this._tail.slice(BLOCK));
      this._tail = this._tail.slice(0, BLOCK);
    }
  }

  /** Where the last complete block of the tail ends; 0: there is none. */
  _cut() {
    if (!this._isMarkdown || this._isPlain) return 0;
    const text = this._tail;
    let cut = 0;
    let fence = this._fence ? marker(this._fence) : '';
    for (let at = 0; ; ) {
      const next = text.indexOf('\n', at);
      if (next < 0) return cut;
      const line = text.slice(at, next);
      const mark = marker(line);
      if (fence) {
        if (mark && mark[0] === fence[0] && mark.length >= fence.length) fence = '';
      } else if (mark) {
        fence = mark;
      } else if (line.trim() === '' && at > 0) {
        const following = text[next + 1];
        // An indented line goes on with a list's item.
        if (following !== undefined && !/[ \t\n]/.test(following)) cut = next + 1;
      }
      at = next + 1;
    }
  }

  /** Whether so much has come that the rest is plain. */
  get _isPlain() {
    return this._shown > MARKDOWN_CHARS;
  }

  _complete(cut) {
    const text = this._tail.slice(0, cut);
    this._fill(this._block(), text);
    this._open = null;
    this._shown += cut;
    if (this._shown > LONG_CHARS) this.element.classList.add('long');
    this._tail = this._tail.slice(cut);
    this._fence = this._isMarkdown ? openFence(this._fence, text) : '';
  }

  _showOpen() {
    this._openAt = performance.now();
    if (this._tail) this._fill(this._block(), this._tail);
  }

  _block() {
    if (!this._open) this.element.append((this._open = h('div', { class: 'block' })));
    return this._open;
  }

  _fill(block, text) {
    if (!this._isMarkdown || this._isPlain) {
      block.classList.add('plain');
      block.textContent = text;
    } else {
      const prefix = this._fence ? `${this._fence}\n` : '';
      block.replaceChildren(markdown(prefix + text));
    }
  }
}

/** Where to cut a block that is too long: at a line's end, a space, or by force. */
function lastBreak(text) {
  const within = text.slice(0, BLOCK);
  for (const mark of ['\n', ' ']) {
    const at = within.lastIndexOf(mark);
    if (at > BLOCK / 2) return at + 1;
  }
  const last = within.charCodeAt(BLOCK - 1);
  return last >= 0xd800 && last < 0xdc00 ? BLOCK - 1 : BLOCK; // no half of a character
}

/** The marker with which a line opens or closes a code block; '' if it does not. */
function marker(line) {
  return /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1] ?? '';
}

/** The line of a code block that is still open after a text. */
function openFence(before, text) {
  let open = before;
  for (const line of text.split('\n')) {
    const mark = marker(line);
    if (!mark) continue;
    if (!open) open = line;
    else if (mark[0] === marker(open)[0] && mark.length >= marker(open).length) open = '';
  }
  return open;
}
