/**
 * Reads server-sent events from a stream of bytes that is cut anywhere: in the middle of a line, of
 * `\r\n`, of a character. The form is the one of the HTML standard, "Interpreting an event stream".
 * @module
 */

/** @typedef {{event: string, data: string, id: string | undefined}} ServerSentEvent */

/** A parser that is given pieces of text and gives the events that they complete. */
export class EventParser {
  constructor() {
    /** @type {string[]} A line that has not ended yet: a long one is put together only once. */
    this._rest = [];
    this._endsWithReturn = false;
    /** @type {string[]} */
    this._data = [];
    this._event = '';
    /** @type {string | undefined} */
    this._id = undefined;
    this._isFirst = true;
  }

  /**
   * Take the next piece.
   * @param {string} text
   * @returns {ServerSentEvent[]} the events that are complete now
   */
  push(text) {
    if (this._isFirst && text) {
      this._isFirst = false;
      if (text.startsWith('\ufeff')) text = text.slice(1);
    }
    /** @type {ServerSentEvent[]} */
    const events = [];
    if (!this._endsWithReturn && !/[\r\n]/.test(text)) {
      if (text) this._rest.push(text);
      return events;
    }
    const buffer = this._rest.join('') + text;
    let start = 0;
    const ends = /\r\n|\n|\r/g;
    for (let end; (end = ends.exec(buffer)); ) {
      // A \r at the very end may be the first half of \r\n: wait for what follows.
      if (end[0] === '\r' && ends.lastIndex === buffer.length) break;
      this._line(buffer.slice(start, end.index), events);
      start = ends.lastIndex;
    }
    this._rest = start < buffer.length ? [buffer.slice(start)] : [];
    this._endsWithReturn = buffer.length > start && buffer.endsWith('\r');
    return events;
  }

  /**
   * @param {string} line
   * @param {ServerSentEvent[]} events
   */
  _line(line, events) {
    if (line === '') {
      if (this._data.length > 0) {
        events.push({
          event: this._event || 'message',
          data: this._data.join('\n'),
          id: this._id,
        });
      }
      this._data = [];
      this._event = '';
      return;
    }
    const colon = line.indexOf(':');
    if (colon === 0) return; // a comment: the server is alive
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? '' : line.slice(colon + 1);
    if (value.startsWith(' ')) value = value.slice(1);
    if (field === 'data') this._data.push(value);
    else if (field === 'event') this._event = value;
    else if (field === 'id' && !value.includes('\0')) this._id = value;
  }
}

/**
 * Read the events of a response's body, as fast as they are taken: while the caller is busy,
 * nothing is read, and the server waits.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<ServerSentEvent, void, void>}
 */
export async function* readEvents(body) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return; // an event that is not complete is none
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
