/**
 * Folds messages into parts: whoever reads along always holds exactly the text that counts.
 *
 * The one rule (contract 0, Attempts): an `attempt` voids the text of the parts that its target
 * names. Works for every protocol, for it knows only where each of them keeps a piece of text.
 * @module
 */

/**
 * One stream of text in a session.
 * @typedef {object} Part
 * @property {string} key the target as a string, unique in the session
 * @property {Record<string, any>} target how the server addresses it: a cancel takes it
 * @property {string} text the text so far, of the last attempt only
 * @property {number} attempt 1, unless it began again
 * @property {'running' | 'completed' | 'failed' | 'cancelled'} state
 * @property {Record<string, any>} last the last message about it
 */

/**
 * Told of every change.
 * @callback OnText
 * @param {Part} part the part as it is now
 * @param {string | null} added what is new in its text; null: the text was replaced, often by ''
 * @returns {void}
 */

/** The parts of one session. */
export class Fold {
  /** @param {OnText} [onText] */
  constructor(onText = () => {}) {
    /** @type {Map<string, Part>} */
    this.parts = new Map();
    this._onText = onText;
  }

  /**
   * Take the next message; it has to follow the last one.
   * @param {Record<string, any>} message
   */
  apply(message) {
    const piece = pieceOf(message);
    if (piece) {
      const part = this._part(piece.target);
      part.last = message;
      part.text += piece.text;
      if (piece.text) this._onText(part, piece.text);
      return;
    }
    switch (message.type) {
      case 'attempt':
        for (const part of this._named(message.target ?? {})) {
          part.attempt = message.attempt;
          part.state = 'running';
          this._replace(part, '', message);
        }
        break;
      case 'part_cancelled':
        for (const part of this._named(message.target ?? {})) {
          part.state = 'cancelled';
          if (part.text !== message.partial) this._replace(part, message.partial, message);
        }
        break;
      case 'prompt_complete':
        this._settle({ prompt_id: message.prompt_id }, 'completed', message);
        break;
      case 'prompt_failed':
        this._settle({ prompt_id: message.prompt_id }, 'failed', message);
        break;
      case 'persona_response':
        this._settle(
          {
            persona_id: message.persona_id,
            ...(message.round === undefined ? {} : { round: message.round }),
          },
          'completed',
          message,
        );
        break;
      case 'snapshot':
        this.restore(message.parts);
        break;
    }
  }

  /**
   * Hold exactly these parts, as a snapshot of the server has them.
   * @param {{target: Record<string, any>, text: string, attempt: number, state: any}[]} parts
   */
  restore(parts) {
    for (const known of this.parts.values()) if (known.text) this._replace(known, '', known.last);
    for (const each of parts) {
      const part = this._part(each.target);
      part.attempt = each.attempt;
      part.state = each.state;
      this._replace(part, each.text, part.last);
    }
  }

  /**
   * @param {Part} part
   * @param {string} text
   * @param {Record<string, any>} message
   */
  _replace(part, text, message) {
    part.text = text;
    part.last = message;
    this._onText(part, null);
  }

  /**
   * @param {Record<string, any>} target
   * @param {Part['state']} state
   * @param {Record<string, any>} message
   */
  _settle(target, state, message) {
    for (const part of this._named(target)) {
      part.state = state;
      part.last = message;
    }
  }

  /**
   * @param {Record<string, any>} target
   * @returns {Part}
   */
  _part(target) {
    const key = keyOf(target);
    let part = this.parts.get(key);
    if (!part) {
      part = { key, target, text: '', attempt: 1, state: 'running', last: {} };
      this.parts.set(key, part);
    }
    return part;
  }

  /**
   * @param {Record<string, any>} target
   * @returns {Part[]}
   */
  _named(target) {
    const wanted = Object.entries(target);
    if (wanted.length === 0) return [];
    return [...this.parts.values()].filter((part) =>
      wanted.every(([name, value]) => part.target[name] === value),
    );
  }
}

/**
 * Name a target in one string.
 * @param {Record<string, any>} target
 */
export function keyOf(target) {
  return Object.entries(target)
    .map(([name, value]) => `${name}:${value}`)
    .join('/');
}

/**
 * Give the piece of text that a message brings, if it brings one.
 * @param {Record<string, any>} message
 * @returns {{target: Record<string, any>, text: string} | undefined}
 */
export function pieceOf(message) {
  if (message.type === 'token') {
    return { target: { stage: message.stage }, text: message.token };
  }
  if (message.type !== 'chunk') return undefined;
  if (message.prompt_id !== undefined) {
    return { target: { prompt_id: message.prompt_id }, text: message.content };
  }
  if (message.field !== undefined) {
    return { target: { stage: message.stage, field: message.field }, text: message.content };
  }
  /** @type {Record<string, any>} */
  const target = message.persona_id === undefined ? { stage: 'answer' } : {};
  if (message.persona_id !== undefined) target.persona_id = message.persona_id;
  if (message.round !== undefined) target.round = message.round;
  return { target, text: message.chunk };
}
