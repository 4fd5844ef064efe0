/**
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function pause(ms: number, signal?: AbortSignal): Promise<void>;
/** Waits that grow from a quarter of a second to eight, each with jitter. */
export class Backoff {
    _tries: number;
    /** Begin anew: a connection has worked. */
    reset(): void;
    /** How often was waited since the last success. */
    get tries(): number;
    /**
     * Wait for the next try. It comes at once when the browser says that it is online again.
     * @param {AbortSignal} [signal] ends the wait early, without an error
     * @param {number} [atLeastMs]
     */
    wait(signal?: AbortSignal, atLeastMs?: number): Promise<void>;
}
