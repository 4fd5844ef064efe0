/**
 * Read the events of a response's body, as fast as they are taken: while the caller is busy,
 * nothing is read, and the server waits.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<ServerSentEvent, void, void>}
 */
export function readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<ServerSentEvent, void, void>;
/**
 * Reads server-sent events from a stream of bytes that is cut anywhere: in the middle of a line, of
 * `\r\n`, of a character. The form is the one of the HTML standard, "Interpreting an event stream".
 * @module
 */
/** @typedef {{event: string, data: string, id: string | undefined}} ServerSentEvent */
/** A parser that is given pieces of text and gives the events that they complete. */
export class EventParser {
    /** @type {string[]} A line that has not ended yet: a long one is put together only once. */
    _rest: string[];
    _endsWithReturn: boolean;
    /** @type {string[]} */
    _data: string[];
    _event: string;
    /** @type {string | undefined} */
    _id: string | undefined;
    _isFirst: boolean;
    /**
     * Take the next piece.
     * @param {string} text
     * @returns {ServerSentEvent[]} the events that are complete now
     */
    push(text: string): ServerSentEvent[];
    /**
     * @param {string} line
     * @param {ServerSentEvent[]} events
     */
    _line(line: string, events: ServerSentEvent[]): void;
}
export type ServerSentEvent = {
    event: string;
    data: string;
    id: string | undefined;
};
