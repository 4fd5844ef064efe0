/**
 * What goes wrong, as the server names it: an error has a `code` that programs can act on.
 * @module
 */

/** A request that was refused, a session that failed, or a connection that could not be had. */
export class AntiphonError extends Error {
  /**
   * @param {string} code one of the codes of the error reference, or `connection_lost`
   * @param {string} message a sentence for people
   * @param {{details?: ErrorDetail[], retryAfterS?: number, status?: number,
   *   body?: Record<string, any>}} [more]
   */
  constructor(code, message, more = {}) {
    super(message);
    this.name = 'AntiphonError';
    /** What happened, for programs. */
    this.code = code;
    /** What is wrong with the request, by path. */
    this.details = more.details ?? [];
    /** Seconds after which another try may help. */
    this.retryAfterS = more.retryAfterS;
    /** The HTTP status, where there was one. */
    this.status = more.status;
    /** The whole message of the server: a failed session's partial results are in there. */
    this.body = more.body ?? {};
  }

  /**
   * Read the server's own `error` message, in any protocol's form.
   * @param {Record<string, any>} message
   */
  static from(message) {
    const text = message.error ?? message.message ?? message.detail ?? 'the request failed';
    return new AntiphonError(message.code ?? 'internal', String(text), {
      details: message.details,
      retryAfterS: message.retry_after,
      body: message,
    });
  }

  /**
   * Read a response that is no success: problem+json, or the form that an endpoint fixes.
   * @param {Response} response
   */
  static async fromResponse(response) {
    const body = await response.json().catch(() => ({}));
    const error = AntiphonError.from({ code: codeOf(response.status), ...body });
    error.status = response.status;
    const retry = Number(response.headers.get('Retry-After'));
    if (error.retryAfterS === undefined && retry > 0) error.retryAfterS = retry;
    return error;
  }
}

/** The session was cancelled: by this program's signal, or by somebody else. */
export class CancelledError extends AntiphonError {
  /** @param {Record<string, any>} message the terminal `cancelled` message; {} if it never came */
  constructor(message) {
    super('cancelled', `the session was cancelled (${message.reason ?? 'client'})`, {
      body: message,
    });
    this.name = 'AbortError'; // as with fetch: what an AbortSignal ends is an AbortError
    /** @type {Receipt | undefined} The proof that the model's stream was closed. */
    this.receipt = message.receipt;
    /** @type {Record<string, string>} Each part's text so far. */
    this.partial = message.partial ?? {};
    /** @type {Usage | undefined} */
    this.usage = message.usage;
  }
}

/** @param {number} status */
function codeOf(status) {
  const codes = { 401: 'unauthenticated', 403: 'forbidden', 404: 'not_found', 410: 'expired' };
  if (status in codes) return codes[/** @type {keyof typeof codes} */ (status)];
  if (status === 413) return 'too_large';
  if (status === 429) return 'rate_limited';
  return status >= 500 ? 'internal' : 'invalid_request';
}

/**
 * @typedef {{path: string, message: string}} ErrorDetail
 * @typedef {{accepted_at_seq: number, upstream_closed_ms: number | null,
 *   tokens_after_accept: number}} Receipt
 * @typedef {{input_tokens: number, output_tokens: number, total_tokens: number,
 *   estimated?: boolean, by_part?: Record<string, any>[]}} Usage
 */
