/**
 * Content: notes become questions or a summary (contract 2).
 * @module
 */

import { providerNames } from '../ui/banner.js';
import { TextCard } from '../ui/card.js';
import { field, h, options, seconds } from '../ui/dom.js';
import { Runner, keepForm, remembered } from '../ui/runner.js';
import { Steps } from '../ui/steps.js';

const STAGES = [
  ['load_prompts', 'Templates'],
  ['generator', 'Draft'],
  ['formatter', 'Layout'],
  ['validator', 'Check'],
  ['done', 'Done'],
];

const HALVES = [
  ['whole', 'Draft and layout'],
  ['draft', 'The draft only: I edit it'],
  ['format', 'The layout only, of my draft'],
];
const STARTS = { whole: 'Write', draft: 'Write the draft', format: 'Lay out' };
/** The stages of each half. */
const STAGES_OF = {
  whole: STAGES.map(([id]) => id),
  draft: ['load_prompts', 'generator', 'done'],
  format: ['load_prompts', 'formatter', 'validator', 'done'],
};
/** The fields that are one half's alone; all others go to both. */
const NOT_FOR = {
  whole: /^(streaming|half|draft)$/,
  draft: /^(streaming|half|draft|formatter_.*|max_retries)$/,
  format: /^(streaming|half|input_text|generator_.*)$/,
};
/** Which half the session of before a reload was. */
const KEPT_HALF = 'half:content';

const NOTES =
  'The sinoatrial node sets the rhythm of the heart. Its cells depolarise slowly by a sodium ' +
  'current through HCN channels, until calcium channels open and the action potential begins. ' +
  'Vagal tone slows the node through acetylcholine and potassium channels; noradrenaline speeds ' +
  'it through beta-1 receptors. From the node the impulse crosses the atria to the ' +
  'atrioventricular node, which delays it so that the ventricles fill before they contract.';

/**
 * @param {HTMLElement} place
 * @param {import('../antiphon.js').Client} client
 */
export async function open(place, client) {
  const section = new Content(client, await providerNames(client));
  place.append(...section.elements);
  const sessionId = remembered('content');
  if (sessionId) void section.run({ sessionId });
}

class Content {
  constructor(client, providers) {
    this.client = client;
    this.runner = new Runner('content', { start: 'Write' });
    this.steps = new Steps('Stages', STAGES);
    this.place = h('div', { class: 'cards two' });
    this.errors = h('div', { class: 'errors' });
    this.metadata = h('div', { class: 'metadata' });
    this.form = this._form(providers);
    keepForm(this.form, 'content');
    this.form.elements.half.addEventListener('change', () => this._showHalf());
    this._showHalf();
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void (this.half !== 'whole' || this.form.elements.streaming.checked
        ? this.run({ params: this._params(), half: this.half })
        : this._runPlain(this._params()));
    });
    this.elements = [
      h('h1', { id: 'title-content' }, 'Notes into questions'),
      h('p', { class: 'lead' },
        'A draft is written, laid out and checked by rules; what fails the check is laid out again. ' +
        'Or stop at the draft, edit it, and have your version laid out.'),
      this.form,
      this.runner.element,
      this.steps.element,
      this.errors,
      this.place,
      this.metadata,
    ];
  }

  _form(providers) {
    const models = [['', 'the default'], ...providers.flatMap(({ name, models: all }) =>
      all.map((model) => [`${name}/${model}`, `${name}/${model}`]))];
    const number = (name, value, more) => h('input', { name, type: 'number', value, ...more });
    const ratio = (name, value) => number(name, value, { min: 0, max: 1, step: 0.01 });
    return h('form', { class: 'fields' },
      field('What is written', h('select', { name: 'half' }, ...options(HALVES, 'whole')), { wide: true }),
      field('Source notes', h('textarea', {
        name: 'input_text', rows: 7, required: true, minLength: 10, maxLength: 500000, value: NOTES,
      }), { wide: true }),
      field('Your draft', h('textarea', {
        name: 'draft', rows: 12, required: true, minLength: 10, maxLength: 500000,
      }), { wide: true, hint: 'edit it as you like; it is laid out and checked' }),
      field('Kind', h('select', { name: 'content_type' }, ...options([
        ['MCQ', 'Multiple choice'], ['NMCQ', 'Vignettes'], ['SUMMARY', 'Summary']], 'MCQ'))),
      field('Questions', number('num_questions', 3, { min: 1, max: 20 })),
      field('Streaming mode', h('input', { name: 'streaming', type: 'checkbox', checked: true }),
        { hint: 'off: it waits for the whole answer' }),
      field('Focus areas', h('input', { name: 'focus_areas', placeholder: 'Not specified' }),
        { wide: true }),
      h('details', { class: 'more wide' },
        h('summary', {}, 'More'),
        h('div', { class: 'fields' },
          field('Generator', h('select', { name: 'generator_model' }, ...options(models, ''))),
          field('temperature', ratio('generator_temperature', 0.51)),
          field('top p', ratio('generator_top_p', 0.95)),
          field('Formatter', h('select', { name: 'formatter_model' }, ...options(models, ''))),
          field('temperature', ratio('formatter_temperature', 0.51)),
          field('top p', ratio('formatter_top_p', 0.95)),
          field('Retries', number('max_retries', 1, { min: 0, max: 5 })),
        )),
      this.runner.buttons,
    );
  }

  /** Which half the form is for. */
  get half() {
    return this.form.elements.half.value;
  }

  /** Show the fields of this half, and no others. */
  _showHalf() {
    const { half } = this;
    for (const each of this.form.elements) {
      if (!each.name || each.name === 'half') continue;
      const isOut = each.name === 'streaming' ? half !== 'whole' : NOT_FOR[half].test(each.name);
      each.disabled = isOut; // a hidden field must not hold up the form
      each.closest('.field').hidden = isOut;
    }
    if (!this.runner.isRunning) this.steps.only(STAGES_OF[half]);
    this.runner.startButton.textContent = STARTS[half];
  }

  _params() {
    const params = {};
    for (const each of this.form.elements) {
      if (!each.name || NOT_FOR[this.half].test(each.name) || each.value === '') continue;
      params[each.name] = each.type === 'number' ? each.valueAsNumber : each.value;
    }
    return params;
  }

  async run({ params, sessionId, half = sessionStorage.getItem(KEPT_HALF) ?? 'whole' }) {
    sessionStorage.setItem(KEPT_HALF, half);
    this._clear(half);
    const handlers = {
      onProgress: ({ stage, message, progress }) => {
        const known = { init: 'load_prompts', retry: 'formatter', fail: 'done' };
        this.steps.reach(known[stage] ?? stage);
        if (stage === 'fail') this.steps.set('done', 'failed');
        this.runner.progress(progress);
        this.runner.say(message);
      },
      onText: (part, added) => this._card(part.target.stage)?.update(part.text, added),
      onDraft: (draft) => this._settle('generator', draft),
      onMessage: (message) => {
        if (message.type === 'attempt') {
          this._card(message.target.stage)?.again(message.attempt, message.reason);
        }
      },
    };
    const result = await this.runner.run(
      (all, how) => this.client.generateContentStream(
        params, all, half === 'whole' ? how : { ...how, half }),
      { sessionId, handlers },
    );
    this._end(result, half);
    if (result && half === 'draft' && this.half === 'draft') this._edit(result.output);
  }

  /** Hand the draft to whoever edits it. */
  _edit(draft) {
    const { half, draft: area } = this.form.elements;
    half.value = 'format';
    area.value = draft;
    this._showHalf();
    area.dispatchEvent(new Event('input', { bubbles: true })); // it is kept over a reload
    this.runner.say('The draft is there: edit it above, then have it laid out.', true);
    area.focus();
  }

  async _runPlain(params) {
    this._clear();
    const result = await this.runner.run(async (_, { signal }) => {
      this.runner.say('Waiting for the whole answer …');
      try {
        return await this.client.server.json('/run', { method: 'POST', json: params, signal });
      } catch (error) {
        if (error.body && 'validation_errors' in error.body) return error.body; // 422, a result
        throw error;
      }
    });
    this._end(result);
  }

  _clear(half = 'whole') {
    this.steps.only(STAGES_OF[half]);
    this.cards = new Map();
    this.place.replaceChildren();
    this.errors.replaceChildren();
    this.metadata.replaceChildren();
    this.steps.clear();
  }

  _card(stage) {
    const titles = { generator: 'Draft', formatter: 'Output' };
    if (!(stage in titles)) return undefined;
    let card = this.cards.get(stage);
    if (!card) {
      card = new TextCard({ title: titles[stage], file: `${stage}.txt`, isMarkdown: false });
      card.view.element.classList.add('tall');
      this.cards.set(stage, card);
      this.place.append(card.element);
    }
    return card;
  }

  _settle(stage, text) {
    const card = this._card(stage);
    if (card.text !== text) card.set(text);
    card.state = 'completed';
  }

  _end(result, half = 'whole') {
    for (const card of this.cards.values()) {
      if (card.state === 'running') card.state = result ? 'completed' : 'cancelled';
    }
    if (!result) return this.steps.end();
    const { success, output, partial_output: partial, validation_errors: errors = [] } = result;
    const text = output ?? partial;
    if (text) this._settle(half === 'draft' ? 'generator' : 'formatter', text);
    for (const [stage] of STAGES) this.steps.set(stage, 'completed');
    if (!success) {
      this.steps.set('validator', 'failed');
      this.steps.set('done', 'failed');
      this.runner.element.dataset.state = 'failed';
      this.runner.say('The text did not pass the check; see the errors.', true);
      this.cards.get('formatter').state = 'failed';
      this.errors.append(
        h('h2', {}, 'Validation errors'),
        h('ul', {}, ...errors.map(({ line, message }) => h('li', {}, `Line ${line}: ${message}`))),
      );
    } else {
      this.runner.say(half === 'draft' ? 'Done: the draft is there.' : 'Done: the text passed the check.', true);
    }
    this.metadata.append(metadataTable(result.metadata ?? {}));
  }
}

function metadataTable(metadata) {
  const shown = Object.entries(metadata).filter(([, value]) => value !== null);
  return h('details', { class: 'more', open: true },
    h('summary', {}, 'Metadata'),
    h('table', { class: 'plain' },
      h('tbody', {}, ...shown.map(([name, value]) =>
        h('tr', {}, h('th', { scope: 'row' }, name.replaceAll('_', ' ')), h('td', {}, shownValue(name, value)))))));
}

function shownValue(name, value) {
  if (typeof value === 'number' && /time|latenc/.test(name)) return seconds(value);
  if (name === 'latencies') {
    return Object.entries(value).map(([stage, s]) => `${stage} ${seconds(s)}`).join(', ');
  }
  if (name === 'usage') return `${value.total_tokens} tokens${value.estimated ? ' (estimated)' : ''}`;
  if (typeof value === 'object') {
    return Object.entries(value).map(([key, each]) => `${key}: ${each}`).join(', ');
  }
  return String(value);
}
