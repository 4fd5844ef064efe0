/**
 * @typedef {import('./session.js').Session} Session
 * @typedef {import('./http.js').Server} Server
 * @typedef {(server: Server, session: Session, signal: AbortSignal) => Promise<void>} Connection
 *   Reads until the terminal message is there (returns), the connection breaks (throws
 *   `connection_lost`), or what it asked for is refused (throws another error).
 */
/**
 * Follow a session to its end.
 * @param {Server} server
 * @param {Session} session
 * @param {Connection} connect
 * @param {AbortSignal} [signal] cancels the session
 * @returns {Promise<Record<string, any>>} the terminal message
 * @throws {AntiphonError} it was refused or failed. {CancelledError} it was cancelled
 */
export function follow(server: Server, session: Session, connect: Connection, signal?: AbortSignal): Promise<Record<string, any>>;
/**
 * Cancel a session, or what `target` names of it alone.
 * @param {Server} server
 * @param {string} sessionId
 * @param {Record<string, any>} [target]
 */
export function cancelSession(server: Server, sessionId: string, target?: Record<string, any>): Promise<any>;
/**
 * Follow over a WebSocket: the first message starts the session, later ones subscribe to it.
 * @param {string} path
 * @param {Record<string, any>} [first] what starts the session
 * @param {string} [pathOfSession] an endpoint that tells all of one session without being asked;
 *   used as long as nothing was heard, for it takes no cursor
 * @returns {Connection}
 */
export function overSocket(path: string, first?: Record<string, any>, pathOfSession?: string): Connection;
/**
 * Follow over server-sent events: a POST starts the session, later ones read its events.
 * @param {string} path
 * @param {Record<string, any>} [body] what starts the session
 * @returns {Connection}
 */
export function overEvents(path: string, body?: Record<string, any>): Connection;
export const CANCEL_PATIENCE_MS: 10000;
export type Session = import("./session.js").Session;
export type Server = import("./http.js").Server;
/**
 * Reads until the terminal message is there (returns), the connection breaks (throws
 * `connection_lost`), or what it asked for is refused (throws another error).
 */
export type Connection = (server: Server, session: Session, signal: AbortSignal) => Promise<void>;
