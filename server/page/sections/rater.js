/**
 * Raters: several critics read one plot point, side by side (contract 3).
 *
 * "Ask all" is one session with all raters in it; a Retry of one is a session of its own.
 * @module
 */

import { button, copyButton, field, h, seconds } from '../ui/dom.js';
import { Runner, cancelledText, keepForm, remembered } from '../ui/runner.js';

const RATERS = [
  ['Story critic', 'You are a story critic. Evaluate this plot point for tension, stakes and surprise.', true],
  ['Continuity editor', 'You are a continuity editor. Check this plot point against the world and the earlier chapters.', true],
  ['First reader', 'You are the first reader. Say what you felt, and where you stopped believing.', true],
];

/**
 * @param {HTMLElement} place
 * @param {import('../antiphon.js').Client} client
 */
export async function open(place, client) {
  const section = new Rater(client);
  place.append(...section.elements);
  const sessionId = remembered('rater');
  if (sessionId) void section.resume(sessionId);
}

class Rater {
  constructor(client) {
    this.client = client;
    this.runner = new Runner('rater', { start: 'Ask all' });
    /** @type {Map<string, RaterCard>} */
    this.cards = new Map();
    this.place = h('div', { class: 'cards' });
    this.list = h('div', { class: 'raters wide' });
    this.form = this._form();
    keepForm(this.form, 'rater');
    for (const [name, prompt, isOn] of this._kept()) this._addRater(name, prompt, isOn);
    this.form.addEventListener('input', () => this._keep());
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this._askAll();
    });
    this.elements = [
      h('h1', { id: 'title-rater' }, 'Several raters, one plot point'),
      h('p', { class: 'lead' },
        'Each rater reads the story for itself; one that fails or is cancelled leaves the others.'),
      this.form,
      this.runner.element,
      this.place,
    ];
  }

  _form() {
    const area = (name, value, rows = 2) => h('textarea', { name, value, rows });
    return h('form', { class: 'fields' },
      field('Plot point', h('textarea', {
        name: 'plotPoint', required: true, rows: 2,
        value: 'The hero discovers a hidden door in the basement.',
      }), { wide: true }),
      h('details', { class: 'more wide' },
        h('summary', {}, 'The story'),
        h('div', { class: 'fields' },
          field('World', area('world', 'A fantasy world with magic.'), { wide: true }),
          field('Summary so far', area('summary', 'A hero’s journey begins.'), { wide: true }),
          field('Outline', area('outline', 'Hero finds door, explores, finds treasure.'), { wide: true }),
          field('Characters (a line each: name: biography)', area('characters', 'Mira: a locksmith’s daughter who fears the dark'), { wide: true }),
          field('Before the rater’s prompt', area('mainPrefix', 'You are a helpful assistant.', 1), { wide: true }),
          field('After it', area('mainSuffix', 'Be creative and engaging.', 1), { wide: true }),
        )),
      h('fieldset', { class: 'wide raters-set' }, h('legend', {}, 'Raters'), this.list,
        button('Add a rater', () => {
          this._addRater(`Rater ${this.list.childElementCount + 1}`, '', true).focus();
          this._keep();
        }, 'small')),
      this.runner.buttons,
    );
  }

  _kept() {
    try {
      return JSON.parse(sessionStorage.getItem('raters')) ?? RATERS;
    } catch {
      return RATERS;
    }
  }

  _keep() {
    const raters = [...this.list.children].map((row) => row.read());
    sessionStorage.setItem('raters', JSON.stringify(raters));
  }

  _addRater(name, prompt, isOn) {
    const on = h('input', { type: 'checkbox', checked: isOn, 'aria-label': 'Ask this rater' });
    const title = h('input', { value: name, 'aria-label': 'Name', size: 16, required: true });
    const text = h('input', { value: prompt, 'aria-label': 'Prompt', class: 'prompt' });
    const row = h('div', { class: 'rater-row' }, on, title, text,
      button('Remove', () => {
        row.remove();
        this._keep();
      }, 'small'));
    row.read = () => [title.value, text.value, on.checked];
    this.list.append(row);
    return title;
  }

  _story() {
    const of = (name) => this.form.elements[name].value;
    return {
      plotPoint: of('plotPoint'),
      structured_context: {
        systemPrompts: { mainPrefix: of('mainPrefix'), mainSuffix: of('mainSuffix') },
        worldbuilding: { content: of('world') },
        storySummary: { summary: of('summary') },
        previousChapters: [],
        characters: of('characters').split('\n').filter((line) => line.trim()).map((line) => {
          const [name, ...bio] = line.split(':');
          return { name: name.trim(), basicBio: bio.join(':').trim() };
        }),
        plotContext: { plotPoint: of('plotPoint'), plotOutline: of('outline'), plotOutlineStatus: 'draft' },
      },
    };
  }

  async _askAll() {
    const raters = [...this.list.children].map((row) => row.read()).filter(([, , isOn]) => isOn);
    if (raters.length === 0) return this.runner.say('No rater is ticked.');
    this._clear();
    for (const [name, prompt] of raters) this._card(name, prompt);
    const request = {
      ...this._story(),
      raters: raters.map(([raterName, raterPrompt]) => ({ raterName, raterPrompt })),
    };
    await this._follow(request, {});
  }

  async resume(sessionId) {
    this._clear();
    await this._follow({}, { sessionId });
  }

  async _follow(request, how) {
    const result = await this.runner.run(
      (all, options) => this.client.rateStream(request, all, options),
      { ...how, handlers: this._handlers() },
    );
    if (!result) {
      for (const card of this.cards.values()) if (card.isOpen) card.end('cancelled');
      return;
    }
    for (const data of result.results ?? [result]) this._card(data.raterName).show(data);
    for (const failure of result.failed ?? []) this.cards.get(failure.raterName)?.fail(failure);
    this._count(true);
  }

  _handlers() {
    const cardOf = (name) => this._card(name ?? 'Rater');
    return {
      onStatus: ({ phase, message, progress, raterName }) => {
        if (raterName === undefined) {
          this.runner.say(message);
          this.runner.progress(progress);
          return;
        }
        const card = cardOf(raterName);
        card.status(phase, message, progress);
        if (phase === 'complete') card.end('completed');
        this._count();
      },
      onPartial: (feedback, raterName) => cardOf(raterName).partial(feedback),
      onRaterError: (error) => {
        cardOf(error.raterName).fail(error);
        this._count();
      },
      onMessage: (message) => {
        const name = message.raterName ?? message.target?.raterName;
        if (message.type === 'part_cancelled') {
          cardOf(name).cancelled(message);
          this._count();
        }
        if (message.type === 'attempt') cardOf(name).again(message);
      },
    };
  }

  _count(isNow = false) {
    const all = [...this.cards.values()];
    const done = all.filter((card) => !card.isOpen).length;
    this.runner.say(`${done} of ${all.length} raters done.`, isNow);
    this.runner.progress((100 * done) / all.length);
  }

  _clear() {
    this.cards.clear();
    this.place.replaceChildren();
  }

  _card(name, prompt) {
    let card = this.cards.get(name);
    if (!card) {
      card = new RaterCard(name, prompt, {
        onCancel: () => void this._cancel(card),
        onRetry: () => void this._retry(card),
      });
      this.cards.set(name, card);
      this.place.append(card.element);
    }
    return card;
  }

  async _cancel(card) {
    if (card.stop) return card.stop.abort();
    await this.client
      .cancel(this.runner.sessionId, { raterName: card.name })
      .catch((error) => this.runner.say(error.message));
  }

  /** Ask one rater again, in a session of its own. */
  async _retry(card) {
    const kept = this._kept().find(([name]) => name === card.name);
    const raterPrompt = card.prompt ?? kept?.[1];
    if (!raterPrompt) return this.runner.say(`${card.name} is not in the list any more.`);
    card.begin();
    card.stop = new AbortController();
    try {
      const data = await this.client.rateStream(
        { ...this._story(), raterName: card.name, raterPrompt },
        {
          onStatus: ({ phase, message, progress }) => card.status(phase, message, progress),
          onPartial: (feedback) => card.partial(feedback),
        },
        { signal: card.stop.signal },
      );
      card.show(data);
    } catch (error) {
      if (error.name === 'AbortError') card.cancelled(error);
      else card.fail(error);
    } finally {
      card.stop = null;
      this._count();
    }
  }
}

class RaterCard {
  constructor(name, prompt, { onCancel, onRetry }) {
    this.name = name;
    this.prompt = prompt;
    this.stop = null;
    this.isOpen = true;
    this.badge = h('span', { class: 'badge' }, 'waiting');
    this.bar = h('progress', { max: 100, value: 0, 'aria-label': `${name}: progress` });
    this.said = h('p', { class: 'meta', 'aria-live': 'polite' });
    this.opinion = h('p', { class: 'opinion' });
    this.suggestions = h('ul', { class: 'ticks' });
    this.cancelButton = button('Cancel', onCancel, 'small', { 'aria-label': `Cancel ${name}` });
    this.retryButton = button('Retry', onRetry, 'small', { hidden: true, 'aria-label': `Retry ${name}` });
    this.element = h('article', { class: 'card', 'data-state': 'running', 'aria-label': name },
      h('header', {}, h('h3', {}, name), this.badge),
      this.bar, this.said, this.opinion, this.suggestions,
      h('footer', { class: 'row' }, this.cancelButton, this.retryButton,
        copyButton(() => this._text(), 'Copy', `${name}’s feedback`)));
  }

  begin() {
    this.isOpen = true;
    this.bar.value = 0;
    this.opinion.textContent = '';
    this.suggestions.replaceChildren();
    this._state('running', 'asked again');
  }

  status(phase, message, progress) {
    this.said.textContent = message;
    if (progress > this.bar.value) this.bar.value = progress;
    this._state('running', phase.replaceAll('_', ' '));
  }

  partial({ opinion = '', suggestions = [] }) {
    this.opinion.textContent = opinion;
    this._suggest(suggestions);
  }

  again({ attempt, reason }) {
    this.opinion.textContent = '';
    this.suggestions.replaceChildren();
    this.said.textContent = `Attempt ${attempt} (${reason}) …`;
  }

  show({ feedback, context_metadata: about }) {
    this.partial(feedback);
    this.bar.value = 100;
    const left = about?.filtered_elements ? ` · ${about.filtered_elements} elements left out` : '';
    this.said.textContent = about
      ? `${about.tokens} tokens of context · ${seconds(about.processing_time)}${left}`
      : '';
    this.end('completed');
  }

  fail({ message, error_code: code, code: plain }) {
    if (code === 'CANCELLED') return this.end('cancelled');
    this.said.textContent = `${message} (${code ?? plain})`;
    this.end('failed');
  }

  cancelled(message) {
    this.said.textContent = cancelledText(message);
    this.end('cancelled');
  }

  end(state) {
    this.isOpen = false;
    this._state(state, state === 'completed' ? 'done' : state);
  }

  _state(state, word) {
    this.element.dataset.state = state;
    this.badge.textContent = word;
    this.cancelButton.hidden = !this.isOpen;
    this.retryButton.hidden = this.isOpen;
  }

  /** Show the suggestions, and keep the ticks of those that are there already. */
  _suggest(suggestions) {
    suggestions.forEach((text, index) => {
      let item = this.suggestions.children[index];
      if (!item) {
        const words = h('span', {});
        item = h('li', {}, h('label', {}, h('input', { type: 'checkbox' }), words));
        item.words = words;
        this.suggestions.append(item);
      }
      if (item.words.textContent !== text) item.words.textContent = text;
    });
    while (this.suggestions.childElementCount > suggestions.length) this.suggestions.lastChild.remove();
  }

  _text() {
    const items = [...this.suggestions.children].map((item) => {
      const isTicked = item.querySelector('input').checked;
      return `- [${isTicked ? 'x' : ' '}] ${item.words.textContent}`;
    });
    return [`${this.name}: ${this.opinion.textContent}`, ...items].join('\n');
  }
}
