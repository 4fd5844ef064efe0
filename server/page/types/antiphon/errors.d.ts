/**
 * What goes wrong, as the server names it: an error has a `code` that programs can act on.
 * @module
 */
/** A request that was refused, a session that failed, or a connection that could not be had. */
export class AntiphonError extends Error {
    /**
     * Read the server's own `error` message, in any protocol's form.
     * @param {Record<string, any>} message
     */
    static from(message: Record<string, any>): AntiphonError;
    /**
     * Read a response that is no success: problem+json, or the form that an endpoint fixes.
     * @param {Response} response
     */
    static fromResponse(response: Response): Promise<AntiphonError>;
    /**
     * @param {string} code one of the codes of the error reference, or `connection_lost`
     * @param {string} message a sentence for people
     * @param {{details?: ErrorDetail[], retryAfterS?: number, status?: number,
     *   body?: Record<string, any>}} [more]
     */
    constructor(code: string, message: string, more?: {
        details?: ErrorDetail[];
        retryAfterS?: number;
        status?: number;
        body?: Record<string, any>;
    });
    /** What happened, for programs. */
    code: string;
    /** What is wrong with the request, by path. */
    details: ErrorDetail[];
    /** Seconds after which another try may help. */
    retryAfterS: number | undefined;
    /** The HTTP status, where there was one. */
    status: number | undefined;
    /** The whole message of the server: a failed session's partial results are in there. */
    body: Record<string, any>;
}
/** The session was cancelled: by this program's signal, or by somebody else. */
export class CancelledError extends AntiphonError {
    /** @param {Record<string, any>} message the terminal `cancelled` message; {} if it never came */
    constructor(message: Record<string, any>);
    /** @type {Receipt | undefined} The proof that the model's stream was closed. */
    receipt: Receipt | undefined;
    /** @type {Record<string, string>} Each part's text so far. */
    partial: Record<string, string>;
    /** @type {Usage | undefined} */
    usage: Usage | undefined;
}
export type ErrorDetail = {
    path: string;
    message: string;
};
export type Receipt = {
    accepted_at_seq: number;
    upstream_closed_ms: number | null;
    tokens_after_accept: number;
};
export type Usage = {
    input_tokens: number;
    output_tokens: number;
    total_tokens: number;
    estimated?: boolean;
    by_part?: Record<string, any>[];
};
