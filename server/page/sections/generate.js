/**
 * Generate: one idea, refined in phases by several lanes at once (contract 1).
 * @module
 */

import { providerNames } from '../ui/banner.js';
import { TextCard } from '../ui/card.js';
import { button, copyButton, downloadButton, field, h, options } from '../ui/dom.js';
import { Runner, keepForm, remembered } from '../ui/runner.js';
import { Steps } from '../ui/steps.js';

const PHASES = [
  ['prima-materia', 'Prima materia', 'what is meant'],
  ['solutio', 'Solutio', 'readable and human'],
  ['coagulatio', 'Coagulatio', 'short and precise'],
];
/** Where the number of the session's prompts is kept, for after a reload. */
const PLAN = 'plan:generate';
const PERSONAS = ['code', 'writing', 'analysis', 'generic'];

/**
 * @param {HTMLElement} place
 * @param {import('../antiphon.js').Client} client
 */
export async function open(place, client) {
  const section = new Generate(client, await providerNames(client));
  place.append(...section.elements);
  const sessionId = remembered('generate');
  if (sessionId) void section.run(undefined, sessionId);
}

class Generate {
  constructor(client, providers) {
    this.client = client;
    this.runner = new Runner('generate');
    this.steps = new Steps('Phases', PHASES);
    this.cards = new Map();
    this.rows = new Map();
    this.results = h('div', { class: 'results', 'aria-live': 'off' });
    this.outcome = h('div', { class: 'outcome' });
    this.form = this._form(providers);
    keepForm(this.form, 'generate');
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.run(this._request());
    });
    this.elements = [
      h('h1', { id: 'title-generate' }, 'One idea, several voices'),
      h('p', { class: 'lead' },
        'Each lane takes your idea through the phases; a judge chooses. Cancel closes the model’s ' +
        'stream before it says so, and a reload loses no word.'),
      this.form,
      this.runner.element,
      this.steps.element,
      this.outcome,
      this.results,
    ];
  }

  _form(providers) {
    const input = h('textarea', {
      name: 'input', required: true, maxLength: 100000, rows: 3,
      value: 'Create a Python function to calculate fibonacci',
    });
    const names = providers.map(({ name, simulated }) => [name, simulated ? `${name} (built in)` : name]);
    return h('form', { class: 'fields' },
      field('Your idea', input, { wide: true }),
      field('Lanes', h('input', { name: 'count', type: 'number', min: 1, max: 100, value: 3 })),
      field('All at once', h('input', { name: 'parallel', type: 'checkbox', checked: true })),
      field('A judge chooses', h('input', { name: 'select', type: 'checkbox', checked: true })),
      h('details', { class: 'more wide' },
        h('summary', {}, 'More'),
        h('div', { class: 'fields' },
          h('fieldset', { class: 'wide' }, h('legend', {}, 'Phases'),
            ...PHASES.map(([id, name]) =>
              field(name, h('input', { name: id, type: 'checkbox', checked: true })))),
          field('Provider', h('select', { name: 'provider' }, ...options([['', 'the default'], ...names], ''))),
          field('Persona', h('select', { name: 'persona' }, ...options(PERSONAS, 'code'))),
          field('Temperature', h('input', {
            name: 'temperature', type: 'number', min: 0, max: 2, step: 0.1, value: 0.7 })),
          field('Tokens a prompt', h('input', {
            name: 'maxTokens', type: 'number', min: 1, max: 32000, value: 2000 })),
          field('Recall earlier results', h('input', { name: 'recall', type: 'checkbox' })),
          field('Improve with a judge', h('input', { name: 'optimize', type: 'checkbox' })),
        )),
      this.runner.buttons,
    );
  }

  _request() {
    const of = (name) => this.form.elements[name];
    const phases = PHASES.map(([id]) => id).filter((id) => of(id).checked);
    const provider = of('provider').value;
    return {
      request: {
        input: of('input').value,
        phases,
        count: of('count').valueAsNumber,
        temperature: of('temperature').valueAsNumber,
        maxTokens: of('maxTokens').valueAsNumber,
        persona: of('persona').value,
      },
      ...(provider ? { phaseConfigs: phases.map((phase) => ({ phase, provider })) } : {}),
      useParallel: of('parallel').checked,
      autoSelect: of('select').checked,
      includeContext: of('recall').checked,
      optimize: of('optimize').checked,
    };
  }

  async run(request, sessionId) {
    this._clear();
    this.bar = request ? new Bar(this.runner, request.request) : Bar.of(this.runner, sessionId);
    const handlers = {
      onSession: ({ sessionId: id }) => this.bar.keep(id),
      onPhaseStart: (phase) => {
        this._row(phase);
        this.steps.set(phase, 'running');
        this.bar.phase = phase;
      },
      onPhaseComplete: (phase) => this.steps.set(phase, 'completed'),
      onText: (part, added) => this._text(part, added),
      onPromptComplete: ({ prompt_id }) => this._settle(prompt_id, 'completed'),
      onPromptFailed: ({ prompt_id, phase, error }) => {
        this._card(prompt_id, phase).about(error);
        this._settle(prompt_id, 'failed');
      },
      onMessage: (message) => {
        if (message.type === 'part_cancelled') this._settle(message.target.prompt_id, 'cancelled');
        if (message.type !== 'attempt') return;
        this.cards.get(message.target.prompt_id)?.again(message.attempt, message.reason);
      },
    };
    const result = await this.runner.run(
      (all, how) => this.client.generateStream(request, all, how),
      { sessionId, handlers },
    );
    for (const card of this.cards.values()) {
      if (card.state === 'running') card.state = result ? 'completed' : 'cancelled';
    }
    this.steps.end();
    if (result) this._finish(result);
  }

  _clear() {
    this.cards.clear();
    this.rows.clear();
    this.results.replaceChildren();
    this.outcome.replaceChildren();
    this.steps.clear();
  }

  _row(phase) {
    let row = this.rows.get(phase);
    if (!row) {
      row = h('div', { class: 'cards' });
      this.rows.set(phase, row);
      const name = PHASES.find(([id]) => id === phase)?.[1] ?? phase;
      this.results.append(h('section', { class: 'phase' }, h('h2', {}, name), row));
    }
    return row;
  }

  _card(promptId, phase) {
    let card = this.cards.get(promptId);
    if (!card) {
      const row = this._row(phase);
      card = new TextCard({
        title: `Lane ${row.childElementCount + 1}`,
        file: `${phase}-${row.childElementCount + 1}.md`,
        onCancel: () => this._cancelPart(promptId),
      });
      card.element.classList.add('lane');
      this.cards.set(promptId, card);
      row.append(card.element);
    }
    return card;
  }

  _text(part, added) {
    const { prompt_id } = part.target;
    const isNew = !this.cards.has(prompt_id);
    if (isNew && !part.last.phase) return; // after a gap: its next message says where it belongs
    const card = this._card(prompt_id, part.last.phase);
    card.update(part.text, isNew ? null : added, part.last.tokens);
    if (added === null && part.state !== 'running') this._settle(prompt_id, part.state);
    if (part.last.provider) card.about(`${part.last.provider} · ${part.last.model}`);
  }

  _settle(promptId, state) {
    this.bar.settle(promptId);
    const card = this.cards.get(promptId);
    if (card) card.state = state;
  }

  async _cancelPart(promptId) {
    await this.client
      .cancel(this.runner.sessionId, { prompt_id: promptId })
      .catch((error) => this.runner.say(error.message));
  }

  _finish({ prompts, rankings, selected, usage }) {
    this.runner.say(`Done: ${prompts.length} prompts, ${usage.total_tokens} tokens.`, true);
    const best = selected?.prompt_id ?? rankings[0]?.prompt_id;
    this.cards.get(best)?.element.classList.add('selected');
    if (!selected) return;
    const why = selected.reason === 'judge' ? 'chosen by the judge' : 'first of the ranking';
    this.outcome.replaceChildren(
      h('article', { class: 'card chosen', 'aria-label': 'The chosen prompt' },
        h('header', {}, h('h2', {}, 'The chosen prompt'), h('span', { class: 'badge' }, why)),
        h('p', { class: 'meta' }, selected.reasoning),
        h('footer', { class: 'row' },
          copyButton(() => selected.content, 'Copy', 'the chosen prompt'),
          downloadButton(() => selected.content, 'prompt.md', 'Download', 'the chosen prompt'),
          button('Show', () => {
            const card = this.cards.get(best)?.element;
            card?.scrollIntoView({ block: 'center', behavior: 'smooth' });
            card?.querySelector('.text')?.focus({ preventScroll: true });
          }, 'small', { 'aria-label': 'Show the chosen prompt' }))));
  }
}

/** How many of the prompts are there: the protocol counts prompts, the bar shows it. */
class Bar {
  /** The judge and the ranking come after the last prompt. */
  static MOST_PERCENT = 95;

  /**
   * @param {Runner} runner
   * @param {{phases: unknown[], count: number}} plan `count` prompts in each phase
   */
  constructor(runner, { phases, count }) {
    this._runner = runner;
    this._total = phases.length * count;
    this._settled = new Set();
    this._phase = '';
  }

  /** The bar of a session that was started before a reload. */
  static of(runner, sessionId) {
    const [id, total] = (sessionStorage.getItem(PLAN) ?? '').split('/');
    return new Bar(runner, { phases: [0], count: id === sessionId ? Number(total) : 0 });
  }

  keep(sessionId) {
    if (this._total) sessionStorage.setItem(PLAN, `${sessionId}/${this._total}`);
  }

  set phase(phase) {
    this._phase = phase;
    this._say();
  }

  /** A prompt has ended, in whatever way. */
  settle(promptId) {
    this._settled.add(promptId);
    this._say();
  }

  _say() {
    const done = this._settled.size;
    const of = this._total ? `${done} of ${this._total}` : `${done}`;
    this._runner.note(`Phase ${this._phase}: ${of} prompts are there.`);
    if (this._total) this._runner.progress((Bar.MOST_PERCENT * done) / this._total);
  }
}
