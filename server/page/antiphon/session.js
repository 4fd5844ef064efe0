/**
 * One session as a reader has it: where it is in the log, what its parts are, how it ended.
 *
 * The transports put messages in here, in order; each of a session's messages is handed on exactly
 * once, whatever the connection does. Nothing here does any I/O.
 * @module
 */

import { AntiphonError, CancelledError } from './errors.js';
import { Fold } from './fold.js';

/**
 * What every call of this module may be given to follow its session.
 * @typedef {object} Handlers
 * @property {(session: {sessionId: string, requestId: string}) => void} [onSession] the session
 *   has begun: with this id it can be followed again after a reload
 * @property {(message: Record<string, any>) => void | Promise<void>} [onMessage] each message as it
 *   came. Over SSE a promise is waited for before more is read, and the server waits with it
 * @property {import('./fold.js').OnText} [onText] a part's text has grown, or was replaced
 * @property {(state: ConnectionState, why?: string) => void} [onConnection]
 */

/**
 * `lost`: it comes back by itself. `draining`: the server stops soon, and the session goes on
 * elsewhere or after the restart.
 * @typedef {'connecting' | 'live' | 'lost' | 'draining' | 'closed'} ConnectionState
 */

/** A reader's side of one session. */
export class Session {
  /**
   * @param {object} how
   * @param {Handlers} how.handlers
   * @param {Record<string, (message: any) => any>} [how.on] what to do with messages, by type
   * @param {string[]} how.finals types of the terminal message, besides `error` and `cancelled`
   * @param {string} how.requestId
   * @param {string} [how.sessionId] to follow one that runs already
   * @param {(message: Record<string, any>) => boolean} [how.isOfPart] whether an `error` or a final
   *   is about one part of the session only
   */
  constructor({ handlers, on = {}, finals, requestId, sessionId, isOfPart }) {
    this.requestId = requestId;
    /** @type {string | undefined} */
    this.sessionId = undefined;
    this.epoch = '';
    this.seq = 0;
    /** @type {Record<string, any> | undefined} The terminal message. */
    this.terminal = undefined;
    this.fold = new Fold(handlers.onText);
    this._handlers = handlers;
    this._on = on;
    this._finals = finals;
    this._isOfPart = isOfPart ?? (() => false);
    if (sessionId !== undefined) this.begin(sessionId);
  }

  /** `<epoch>:<seq>` of the last message; undefined at the start. */
  get cursor() {
    return this.seq > 0 ? `${this.epoch}:${this.seq}` : undefined;
  }

  /**
   * Learn the session's id.
   * @param {string} sessionId
   */
  begin(sessionId) {
    if (this.sessionId !== undefined) return;
    this.sessionId = sessionId;
    this._handlers.onSession?.({ sessionId, requestId: this.requestId });
  }

  /**
   * Take a message.
   * @param {Record<string, any>} message
   * @returns {Promise<void> | void}
   * @throws {AntiphonError} it refuses what was asked
   */
  take(message) {
    if (message.refused) throw AntiphonError.from(message);
    if (message.session_id !== undefined) this.begin(message.session_id);
    if (message.seq !== undefined) {
      if (message.epoch === this.epoch && message.seq <= this.seq) return;
      this.epoch = message.epoch;
      this.seq = message.seq;
    }
    if (message.type === 'draining') this.say('draining');
    this.fold.apply(message);
    if (this._isTerminal(message)) this.terminal = message;
    const waits = [this._handlers.onMessage?.(message), this._on[message.type]?.(message)];
    const pending = waits.filter((wait) => wait instanceof Promise);
    if (pending.length > 0) return Promise.all(pending).then(() => {});
  }

  /**
   * @param {ConnectionState} state
   * @param {string} [why]
   */
  say(state, why) {
    this._handlers.onConnection?.(state, why);
  }

  /**
   * Give the terminal message as a result.
   * @returns {Record<string, any>}
   * @throws {AntiphonError} it failed or was cancelled
   */
  result() {
    /** @type {Record<string, any>} */
    const terminal = this.terminal ?? {};
    if (terminal.type === 'cancelled') throw new CancelledError(terminal);
    if (terminal.type === 'error') throw AntiphonError.from(terminal);
    return terminal;
  }

  /** @param {Record<string, any>} message */
  _isTerminal(message) {
    if (message.type === 'cancelled') return true;
    const isFinal = message.type === 'error' || this._finals.includes(message.type);
    return isFinal && !this._isOfPart(message);
  }
}
