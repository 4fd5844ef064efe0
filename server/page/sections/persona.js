/**
 * Personas: one or many answer at once, each in a column of its own (contract 4).
 *
 * Each turn is one session; the conversation's id goes from one to the next. A reload finds the
 * turns in this tab's storage and follows each of them again: ended ones come from the journal.
 * @module
 */

import { providerNames } from '../ui/banner.js';
import { TextCard } from '../ui/card.js';
import { button, field, h, options } from '../ui/dom.js';
import { Runner, keepForm } from '../ui/runner.js';

const KEY = 'turns:persona';
const MODEL = ''; // the model itself, without a persona

/**
 * @param {HTMLElement} place
 * @param {import('../antiphon.js').Client} client
 */
export async function open(place, client) {
  const section = new PersonaChat(client, await personas(client), await providerNames(client));
  place.append(...section.elements);
  await section.resume();
}

async function personas(client) {
  const answer = await client.server.json('/api/personas').catch(() => []);
  return Array.isArray(answer) ? answer : (answer.personas ?? []);
}

class PersonaChat {
  constructor(client, all, providers) {
    this.client = client;
    this.personas = new Map(all.map((each) => [each.id, each]));
    this.runner = new Runner('persona', { start: 'Send', hasBar: false });
    this.runner.cancelButton.textContent = 'Cancel all';
    this.turns = [];
    this.conversationId = undefined;
    this.log = h('div', { class: 'turns' });
    this.form = this._form(all, providers);
    keepForm(this.form, 'persona');
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this._send();
    });
    this.elements = [
      h('h1', { id: 'title-persona' }, 'Talk with personas'),
      h('p', { class: 'lead' },
        'Pick one or several: they answer at once. Each can be cancelled or asked again alone, and ' +
        'the conversation goes on.'),
      this.log,
      this.runner.element,
      this.form,
    ];
  }

  _form(all, providers) {
    const names = providers.map(({ name }) => name);
    const picks = all.map(({ id, name, role }, index) => {
      const box = h('input', { type: 'checkbox', name: `pick:${id}`, checked: index < 3 });
      return field(name, box, { hint: role });
    });
    const message = h('textarea', {
      name: 'message', rows: 2, required: true,
      value: 'What do you think about AI?',
      onkeydown: (event) => {
        if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
        event.preventDefault();
        this.form.requestSubmit();
      },
    });
    return h('form', { class: 'fields' },
      h('fieldset', { class: 'wide picks' }, h('legend', {}, 'Personas (none: the model itself)'), ...picks),
      field('Message', message, { wide: true, hint: 'Enter sends, Shift+Enter makes a new line' }),
      h('details', { class: 'more wide' },
        h('summary', {}, 'More'),
        h('div', { class: 'fields' },
          field('Provider', h('select', { name: 'api' }, ...options([['', 'the default'], ...names], ''))),
          field('Model', h('input', { name: 'model', placeholder: 'the default' })),
          field('Temperature', h('input', { name: 'temperature', type: 'number', min: 0, max: 2, step: 0.1 })),
          field('Debate', h('select', { name: 'rounds' }, ...options(
            [['', 'no: each answers you'], ['2', '2 rounds'], ['3', '3 rounds'], ['4', '4 rounds']], ''))),
          field('One combined answer', h('input', { name: 'synthesis', type: 'checkbox' })),
          field('Even pace', h('input', { name: 'smooth', type: 'checkbox' })),
        )),
      this.runner.buttons,
    );
  }

  _picked() {
    return [...this.personas.keys()].filter((id) => this.form.elements[`pick:${id}`].checked);
  }

  _options() {
    const of = (name) => this.form.elements[name];
    const chosen = {};
    if (of('api').value) chosen.api = of('api').value;
    if (of('model').value) chosen.model = of('model').value;
    if (of('temperature').value) chosen.temperature = of('temperature').valueAsNumber;
    if (of('smooth').checked) chosen.smooth = true;
    if (this.conversationId) chosen.conversation_id = this.conversationId;
    return chosen;
  }

  async _send() {
    if (this.runner.isRunning) return;
    const message = this.form.elements.message.value;
    const ids = this._picked();
    const data = this._options();
    if (ids.length === 0) data.input_text = message;
    else data.message = message;
    if (ids.length === 1) data.persona_id = ids[0];
    if (ids.length > 1) {
      data.persona_ids = ids;
      const rounds = this.form.elements.rounds.value;
      if (rounds) Object.assign(data, { mode: 'debate', rounds: Number(rounds) });
      if (this.form.elements.synthesis.checked) data.synthesis = true;
    }
    const turn = { message, ids: ids.length ? ids : [MODEL], data };
    this.turns.push(turn);
    this.form.elements.message.value = '';
    this.form.elements.message.dispatchEvent(new Event('input', { bubbles: true }));
    await this._play(turn, new Turn(this, turn));
    this.form.elements.message.focus({ preventScroll: true });
  }

  /** Come back to the turns of before a reload. */
  async resume() {
    let kept = [];
    try {
      kept = JSON.parse(sessionStorage.getItem(KEY) ?? '[]');
    } catch {
      sessionStorage.removeItem(KEY);
    }
    for (const turn of kept) {
      this.turns.push(turn);
      const shown = new Turn(this, turn);
      if (turn === kept.at(-1)) void this._play(turn, shown, turn.sessionId);
      else void this._replay(turn, shown);
    }
  }

  _keep() {
    const kept = this.turns.filter(({ sessionId }) => sessionId).slice(-50);
    sessionStorage.setItem(KEY, JSON.stringify(kept.map(({ message, ids, sessionId, data }) =>
      ({ message, ids, sessionId, data }))));
  }

  async _play(turn, shown, sessionId) {
    const result = await this.runner.run(
      (all, how) => this._call(turn, { ...shown.handlers, ...all }, how),
      {
        sessionId,
        handlers: {
          onSession: (session) => {
            turn.sessionId = session.sessionId;
            this._keep();
          },
          onMessage: (message) => {
            shown.take(message);
            const standing = shown.standing();
            if (standing === shown.said) return;
            shown.said = standing;
            this.runner.say(standing);
          },
          onText: shown.handlers.onText,
        },
      },
    );
    shown.end(result);
    if (!result) return;
    this.conversationId = result.conversation_id ?? this.conversationId;
    const failed = result.failed?.length ? `, ${result.failed.length} failed` : '';
    this.runner.say(turn.ids.length > 1
      ? `${result.responses.length} of ${turn.ids.length} have answered${failed}.`
      : 'Answered.', true);
  }

  async _replay(turn, shown) {
    try {
      const handlers = { ...shown.handlers, onMessage: (message) => shown.take(message) };
      shown.end(await this._call(turn, handlers, { sessionId: turn.sessionId }));
    } catch {
      shown.end(undefined);
    }
  }

  _call(turn, handlers, how) {
    const call = turn.ids.length > 1 ? this.client.multiChat : this.client.chat;
    return call(turn.data, handlers, how);
  }

  /** Ask one persona again, in a session of its own. */
  async retry(turn, id, card) {
    const data = { ...this._options(), message: turn.message };
    if (id !== MODEL) data.persona_id = id;
    else {
      delete data.message;
      data.input_text = turn.message;
    }
    const stop = new AbortController();
    card.onCancel = () => stop.abort();
    try {
      const answer = await this.client.chat(
        data, { onText: (part, added) => card.update(part.text, added) }, { signal: stop.signal });
      card.state = 'completed';
      this.conversationId = answer.conversation_id ?? this.conversationId;
    } catch (error) {
      card.about(error.name === 'AbortError' ? '' : error.message);
      card.state = error.name === 'AbortError' ? 'cancelled' : 'failed';
    }
  }
}

/** One message of the user's, and a column for each who answers. */
class Turn {
  constructor(chat, turn) {
    this.chat = chat;
    this.turn = turn;
    this.cards = new Map();
    this.said = '';
    this.columns = h('div', { class: 'cards' });
    this.element = h('section', { class: 'turn', 'aria-label': `You: ${turn.message.slice(0, 80)}` },
      h('p', { class: 'said' }, turn.message), this.columns);
    chat.log.append(this.element);
    for (const id of turn.ids) this._card(id);
    this.element.scrollIntoView({ block: 'nearest' });
    this.handlers = {
      onText: (part, added) => this._card(this._who(part.target)).update(part.text, added),
      onPersonaResponse: (answer) => this._answered(answer),
    };
  }

  _who({ persona_id: id, round }) {
    return `${id ?? MODEL}${round > 1 ? `#${round}` : ''}`;
  }

  _card(who) {
    let card = this.cards.get(who);
    if (card) return card;
    const [id, round] = who.split('#');
    const persona = this.chat.personas.get(id);
    const name = persona?.name ?? { [MODEL]: 'The model', synthesis: 'All together' }[id] ?? id;
    card = new TextCard({
      title: name,
      subtitle: [persona?.role, round && `round ${round}`].filter(Boolean).join(' · '),
      file: `${id || 'model'}.md`,
      isAsked: true,
      onCancel: () => (card.onCancel ? card.onCancel() : void this._cancel(id)),
      onRetry: () => {
        card.set('');
        card.again(2, 'asked again');
        card.state = 'waiting';
        void this.chat.retry(this.turn, id, card);
      },
    });
    this.cards.set(who, card);
    this.columns.append(card.element);
    return card;
  }

  async _cancel(id) {
    const { runner, client } = this.chat;
    if (this.turn.ids.length === 1) return runner.cancel();
    await client.cancel(this.turn.sessionId, { persona_id: id }).catch((error) => runner.say(error.message));
  }

  /** What concerns one column besides its text. */
  take(message) {
    const id = message.persona_id ?? message.target?.persona_id;
    const many = this.turn.ids.length > 1;
    switch (message.type) {
      case 'status':
        if (id !== undefined || !many) this._card(this._who(message)).about(message.message);
        break;
      case 'attempt':
        this._card(this._who(message.target)).again(message.attempt, message.reason);
        break;
      case 'part_cancelled':
        this._card(this._who(message.target)).state = 'cancelled';
        break;
      case 'error':
        if (!message.refused && many && id !== undefined) {
          const card = this._card(this._who(message));
          card.about(message.message);
          card.state = 'failed';
        }
        break;
    }
  }

  _answered({ persona_id: id, round, response, latency, usage }) {
    const card = this._card(this._who({ persona_id: id, round }));
    if (card.text !== response) card.set(response);
    card.about('');
    card.settle({
      firstTokenS: latency?.first_token,
      totalS: latency?.total,
      tokens: usage?.output_tokens,
    });
    card.state = 'completed';
  }

  /** Where the turn stands, in words; '' before anybody writes. */
  standing() {
    const cards = [...this.cards.values()];
    const ended = cards.filter(({ state }) => !['waiting', 'running'].includes(state)).length;
    if (ended > 0 && cards.length > 1) return `${ended} of ${cards.length} have answered …`;
    return cards.some(({ state }) => state === 'running') ? 'Answering …' : '';
  }

  end(result) {
    for (const card of this.cards.values()) {
      if (card.state === 'running' || card.state === 'waiting') {
        card.about('');
        card.state = result ? 'completed' : 'cancelled';
      }
    }
    if (!this.turn.data?.synthesis || this.cards.has('synthesis') || !result?.combined) return;
    const card = this._card('synthesis');
    card.set(result.combined);
    card.state = 'completed';
  }
}
