/**
 * Requests over HTTP: the address, the token, and errors as errors.
 * @module
 */

import { AntiphonError } from './errors.js';

/**
 * Where the server is, and who asks.
 * @typedef {object} Settings
 * @property {string} [baseUrl] `http://host:port`; the page's own server unless given
 * @property {string | (() => string | undefined | null)} [token] a JWT, where the server asks for
 *   one; a function is called for each request
 * @property {typeof globalThis.fetch} [fetch] another one than the platform's
 * @property {any} [WebSocket] another one than the platform's (Node before 22 has none)
 */

/** A server's address. */
export class Server {
  /** @param {Settings} settings */
  constructor(settings = {}) {
    this._settings = settings;
  }

  /** @returns {string | undefined} */
  get token() {
    const { token } = this._settings;
    return (typeof token === 'function' ? token() : token) || undefined;
  }

  /** @param {string} path */
  url(path) {
    return new URL(path, this._settings.baseUrl ?? globalThis.location?.href);
  }

  /**
   * Send a request.
   * @param {string} path
   * @param {RequestInit & {json?: unknown}} [init] `json` is sent as the body
   * @returns {Promise<Response>} a success
   * @throws {AntiphonError} any other answer, or (code `connection_lost`) none
   */
  async fetch(path, init = {}) {
    const { json, ...rest } = init;
    const headers = new Headers(rest.headers);
    if (this.token) headers.set('Authorization', `Bearer ${this.token}`);
    if (json !== undefined) {
      headers.set('Content-Type', 'application/json');
      rest.body = JSON.stringify(json);
    }
    const fetch = this._settings.fetch ?? globalThis.fetch;
    let response;
    try {
      response = await fetch(this.url(path), { cache: 'no-store', ...rest, headers });
    } catch (error) {
      if (rest.signal?.aborted) throw error;
      throw new AntiphonError('connection_lost', 'the server cannot be reached');
    }
    if (!response.ok) throw await AntiphonError.fromResponse(response);
    return response;
  }

  /**
   * Send a request whose answer is JSON.
   * @param {string} path
   * @param {RequestInit & {json?: unknown}} [init]
   * @returns {Promise<any>}
   */
  async json(path, init) {
    const response = await this.fetch(path, init);
    return response.status === 204 ? undefined : response.json();
  }

  /**
   * Open a WebSocket. A browser can send no header with it, so the token is a subprotocol.
   * @param {string} path
   * @returns {WebSocket}
   */
  socket(path) {
    const url = this.url(path);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    const WebSocket = this._settings.WebSocket ?? globalThis.WebSocket;
    if (WebSocket === undefined) {
      throw new AntiphonError('no_websocket', 'this platform has no WebSocket: pass one in');
    }
    return new WebSocket(url.href, this.token ? ['antiphon.bearer', this.token] : []);
  }
}
