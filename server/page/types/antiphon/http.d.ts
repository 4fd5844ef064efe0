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
    constructor(settings?: Settings);
    _settings: Settings;
    /** @returns {string | undefined} */
    get token(): string | undefined;
    /** @param {string} path */
    url(path: string): URL;
    /**
     * Send a request.
     * @param {string} path
     * @param {RequestInit & {json?: unknown}} [init] `json` is sent as the body
     * @returns {Promise<Response>} a success
     * @throws {AntiphonError} any other answer, or (code `connection_lost`) none
     */
    fetch(path: string, init?: RequestInit & {
        json?: unknown;
    }): Promise<Response>;
    /**
     * Send a request whose answer is JSON.
     * @param {string} path
     * @param {RequestInit & {json?: unknown}} [init]
     * @returns {Promise<any>}
     */
    json(path: string, init?: RequestInit & {
        json?: unknown;
    }): Promise<any>;
    /**
     * Open a WebSocket. A browser can send no header with it, so the token is a subprotocol.
     * @param {string} path
     * @returns {WebSocket}
     */
    socket(path: string): WebSocket;
}
/**
 * Where the server is, and who asks.
 */
export type Settings = {
    /**
     * `http://host:port`; the page's own server unless given
     */
    baseUrl?: string | undefined;
    /**
     * a JWT, where the server asks for
     * one; a function is called for each request
     */
    token?: string | (() => string | undefined | null) | undefined;
    /**
     * another one than the platform's
     */
    fetch?: typeof fetch | undefined;
    /**
     * another one than the platform's (Node before 22 has none)
     */
    WebSocket?: any;
};
