/**
 * Name a target in one string.
 * @param {Record<string, any>} target
 */
export function keyOf(target: Record<string, any>): string;
/**
 * Give the piece of text that a message brings, if it brings one.
 * @param {Record<string, any>} message
 * @returns {{target: Record<string, any>, text: string} | undefined}
 */
export function pieceOf(message: Record<string, any>): {
    target: Record<string, any>;
    text: string;
} | undefined;
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
    constructor(onText?: OnText);
    /** @type {Map<string, Part>} */
    parts: Map<string, Part>;
    _onText: OnText;
    /**
     * Take the next message; it has to follow the last one.
     * @param {Record<string, any>} message
     */
    apply(message: Record<string, any>): void;
    /**
     * Hold exactly these parts, as a snapshot of the server has them.
     * @param {{target: Record<string, any>, text: string, attempt: number, state: any}[]} parts
     */
    restore(parts: {
        target: Record<string, any>;
        text: string;
        attempt: number;
        state: any;
    }[]): void;
    /**
     * @param {Part} part
     * @param {string} text
     * @param {Record<string, any>} message
     */
    _replace(part: Part, text: string, message: Record<string, any>): void;
    /**
     * @param {Record<string, any>} target
     * @param {Part['state']} state
     * @param {Record<string, any>} message
     */
    _settle(target: Record<string, any>, state: Part["state"], message: Record<string, any>): void;
    /**
     * @param {Record<string, any>} target
     * @returns {Part}
     */
    _part(target: Record<string, any>): Part;
    /**
     * @param {Record<string, any>} target
     * @returns {Part[]}
     */
    _named(target: Record<string, any>): Part[];
}
/**
 * One stream of text in a session.
 */
export type Part = {
    /**
     * the target as a string, unique in the session
     */
    key: string;
    /**
     * how the server addresses it: a cancel takes it
     */
    target: Record<string, any>;
    /**
     * the text so far, of the last attempt only
     */
    text: string;
    /**
     * 1, unless it began again
     */
    attempt: number;
    state: "running" | "completed" | "failed" | "cancelled";
    /**
     * the last message about it
     */
    last: Record<string, any>;
};
/**
 * Told of every change.
 */
export type OnText = (part: Part, added: string | null) => void;
