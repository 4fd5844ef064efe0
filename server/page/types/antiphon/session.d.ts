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
    constructor({ handlers, on, finals, requestId, sessionId, isOfPart }: {
        handlers: Handlers;
        on?: Record<string, (message: any) => any> | undefined;
        finals: string[];
        requestId: string;
        sessionId?: string | undefined;
        isOfPart?: ((message: Record<string, any>) => boolean) | undefined;
    });
    requestId: string;
    /** @type {string | undefined} */
    sessionId: string | undefined;
    epoch: string;
    seq: number;
    /** @type {Record<string, any> | undefined} The terminal message. */
    terminal: Record<string, any> | undefined;
    fold: Fold;
    _handlers: Handlers;
    _on: Record<string, (message: any) => any>;
    _finals: string[];
    _isOfPart: (message: Record<string, any>) => boolean;
    /** `<epoch>:<seq>` of the last message; undefined at the start. */
    get cursor(): string | undefined;
    /**
     * Learn the session's id.
     * @param {string} sessionId
     */
    begin(sessionId: string): void;
    /**
     * Take a message.
     * @param {Record<string, any>} message
     * @returns {Promise<void> | void}
     * @throws {AntiphonError} it refuses what was asked
     */
    take(message: Record<string, any>): Promise<void> | void;
    /**
     * @param {ConnectionState} state
     * @param {string} [why]
     */
    say(state: ConnectionState, why?: string): void;
    /**
     * Give the terminal message as a result.
     * @returns {Record<string, any>}
     * @throws {AntiphonError} it failed or was cancelled
     */
    result(): Record<string, any>;
    /** @param {Record<string, any>} message */
    _isTerminal(message: Record<string, any>): boolean;
}
/**
 * What every call of this module may be given to follow its session.
 */
export type Handlers = {
    /**
     * the session
     * has begun: with this id it can be followed again after a reload
     */
    onSession?: ((session: {
        sessionId: string;
        requestId: string;
    }) => void) | undefined;
    /**
     * each message as it
     * came. Over SSE a promise is waited for before more is read, and the server waits with it
     */
    onMessage?: ((message: Record<string, any>) => void | Promise<void>) | undefined;
    /**
     * a part's text has grown, or was replaced
     */
    onText?: import("./fold.js").OnText | undefined;
    onConnection?: ((state: ConnectionState, why?: string) => void) | undefined;
};
/**
 * `lost`: it comes back by itself. `draining`: the server stops soon, and the session goes on
 * elsewhere or after the restart.
 */
export type ConnectionState = "connecting" | "live" | "lost" | "draining" | "closed";
import { Fold } from './fold.js';
