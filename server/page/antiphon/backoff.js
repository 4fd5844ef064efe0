/**
 * How long to wait before the next try, and waiting for it.
 * @module
 */

const FIRST_MS = 250;
const LONGEST_MS = 8000;

/** Waits that grow from a quarter of a second to eight, each with jitter. */
export class Backoff {
  constructor() {
    this._tries = 0;
  }

  /** Begin anew: a connection has worked. */
  reset() {
    this._tries = 0;
  }

  /** How often was waited since the last success. */
  get tries() {
    return this._tries;
  }

  /**
   * Wait for the next try. It comes at once when the browser says that it is online again.
   * @param {AbortSignal} [signal] ends the wait early, without an error
   * @param {number} [atLeastMs]
   */
  async wait(signal, atLeastMs = 0) {
    const full = Math.min(FIRST_MS * 2 ** this._tries, LONGEST_MS);
    this._tries += 1;
    await pause(Math.max(atLeastMs, full * (0.5 + Math.random() / 2)), signal);
  }
}

/**
 * @param {number} ms
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const target = typeof window === 'undefined' ? undefined : window;
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      target?.removeEventListener('online', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    if (signal?.aborted) end();
    signal?.addEventListener('abort', end);
    target?.addEventListener('online', end);
  });
}
