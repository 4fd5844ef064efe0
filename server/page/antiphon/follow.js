/**
 * Follows a session to its end over a connection that may break at any moment.
 *
 * The one rule: a request is sent once. Where the connection breaks before the session's id is
 * known, nobody can tell whether it was started, and the call fails with `connection_lost`; from
 * the id on, it comes back with its cursor until the terminal message is there.
 *
 * A cancel is a request of its own, over HTTP: it works whatever the connection does, and asking
 * twice is asking once. After it the call goes on reading, for the terminal message has the
 * receipt; but not for longer than `CANCEL_PATIENCE_MS`.
 * @module
 */

import { Backoff, pause } from './backoff.js';
import { AntiphonError, CancelledError } from './errors.js';
import { readEvents } from './sse.js';

export const CANCEL_PATIENCE_MS = 10_000;

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
export async function follow(server, session, connect, signal) {
  if (signal?.aborted && session.sessionId === undefined) throw new CancelledError({});
  const leaving = new AbortController();
  const cancel = () => cancelUntilAccepted(server, session, leaving);
  signal?.addEventListener('abort', cancel, { once: true });
  if (signal?.aborted) cancel();
  try {
    await untilTerminal(server, session, connect, leaving.signal, signal);
    return session.result();
  } catch (error) {
    if (signal?.aborted && session.terminal === undefined) throw new CancelledError({});
    throw error;
  } finally {
    signal?.removeEventListener('abort', cancel);
    leaving.abort();
    session.say('closed');
  }
}

/**
 * @param {Server} server
 * @param {Session} session
 * @param {Connection} connect
 * @param {AbortSignal} leaving
 * @param {AbortSignal} [signal]
 */
async function untilTerminal(server, session, connect, leaving, signal) {
  const backoff = new Backoff();
  const hurry = AbortSignal.any([leaving, ...(signal ? [signal] : [])]);
  while (session.terminal === undefined) {
    const [seq, epoch] = [session.seq, session.epoch];
    session.say('connecting');
    try {
      await connect(server, session, leaving);
    } catch (error) {
      if (!(error instanceof AntiphonError)) throw error;
      if (session.seq !== seq || session.epoch !== epoch) backoff.reset();
      if (leaving.aborted || !mayComeBack(error, session, backoff.tries)) throw error;
      if (signal?.aborted && session.sessionId === undefined) throw error; // nothing was begun
      session.say('lost', error.message);
      const isHurrying = signal?.aborted; // the cancel is on its way: be back for its receipt
      await backoff.wait(isHurrying ? leaving : hurry, (error.retryAfterS ?? 0) * 1000);
    }
  }
}

const TRIES_TO_START = 4;

/**
 * @param {AntiphonError} error
 * @param {Session} session
 * @param {number} tries
 */
function mayComeBack(error, session, tries) {
  if (session.sessionId === undefined) {
    return error.code === 'not_connected' && tries < TRIES_TO_START;
  }
  const passing = ['connection_lost', 'not_connected', 'shutting_down', 'overloaded'];
  return passing.includes(error.code) || (error.status ?? 0) >= 500 || error.status === 429;
}

/**
 * Cancel, again and again until the server has it; then give the terminal message its time.
 * @param {Server} server
 * @param {Session} session
 * @param {AbortController} leaving
 */
async function cancelUntilAccepted(server, session, leaving) {
  const timer = setTimeout(() => leaving.abort(), CANCEL_PATIENCE_MS);
  leaving.signal.addEventListener('abort', () => clearTimeout(timer));
  while (!leaving.signal.aborted) {
    if (session.sessionId !== undefined) {
      try {
        await cancelSession(server, session.sessionId);
        return;
      } catch (error) {
        if (error instanceof AntiphonError && error.code === 'not_found') return;
      }
    }
    await pause(session.sessionId === undefined ? 20 : 500, leaving.signal);
  }
}

/**
 * Cancel a session, or what `target` names of it alone.
 * @param {Server} server
 * @param {string} sessionId
 * @param {Record<string, any>} [target]
 */
export function cancelSession(server, sessionId, target) {
  const path = `/api/sessions/${encodeURIComponent(sessionId)}/cancel`;
  return server.json(path, { method: 'POST', json: target ? { target } : {} });
}

// ---- over a WebSocket --------------------------------------------------------------------------

/**
 * Follow over a WebSocket: the first message starts the session, later ones subscribe to it.
 * @param {string} path
 * @param {Record<string, any>} [first] what starts the session
 * @param {string} [pathOfSession] an endpoint that tells all of one session without being asked;
 *   used as long as nothing was heard, for it takes no cursor
 * @returns {Connection}
 */
export function overSocket(path, first, pathOfSession) {
  let isSent = first === undefined;
  return (server, session, leaving) =>
    new Promise((resolve, reject) => {
      const tellsAll = pathOfSession !== undefined && session.cursor === undefined;
      const socket = server.socket(tellsAll ? pathOfSession : path);
      let hasOpened = false;
      const leave = () => socket.close();
      leaving.addEventListener('abort', leave, { once: true });
      /** @param {unknown} [error] */
      const end = (error) => {
        leaving.removeEventListener('abort', leave);
        socket.onopen = socket.onmessage = socket.onclose = socket.onerror = null;
        socket.close();
        error === undefined ? resolve() : reject(error);
      };
      socket.onopen = () => {
        hasOpened = true;
        session.say('live');
        if (tellsAll) return;
        socket.send(JSON.stringify(isSent ? subscription(session) : first));
        isSent = true;
      };
      socket.onmessage = ({ data }) => {
        try {
          const message = JSON.parse(data);
          if (message.type === 'gap') {
            socket.onmessage = null; // what follows it is in the picture that is asked for now
            return void fillGap(server, session).then(end, end);
          }
          session.take(message);
          if (session.terminal !== undefined) end();
        } catch (error) {
          end(error);
        }
      };
      socket.onerror = () => {}; // a close follows, and says more
      socket.onclose = ({ code, reason }) => {
        if (hasOpened) end(closed(code, reason));
        else whyNotOpened(server).then(end);
      };
    });
}

/**
 * Ask over HTTP why a WebSocket does not open: browsers hide the answer to an upgrade.
 * @param {Server} server
 */
async function whyNotOpened(server) {
  try {
    await server.fetch('/api/providers');
  } catch (error) {
    const isRefused = error instanceof AntiphonError && [401, 403].includes(error.status ?? 0);
    if (isRefused) return error;
  }
  return new AntiphonError('not_connected', 'the server cannot be reached');
}

/** @param {Session} session */
function subscription(session) {
  const after = session.cursor;
  return { type: 'subscribe', session_id: session.sessionId, ...(after ? { after } : {}) };
}

/**
 * @param {number} code
 * @param {string} reason
 */
function closed(code, reason) {
  if (code === 1008) return new AntiphonError('forbidden', reason || 'the server refused');
  return new AntiphonError('connection_lost', reason || 'the connection is lost');
}

/**
 * What was missed is no longer held: take the parts as they are now, and go on from there.
 * @param {Server} server
 * @param {Session} session
 */
async function fillGap(server, session) {
  const shown = await server.json(`/api/sessions/${session.sessionId}`);
  session.fold.restore(shown.parts);
  if (shown.terminal) return void session.take(shown.terminal);
  session.epoch = shown.epoch;
  session.seq = shown.seq;
}

// ---- over SSE ----------------------------------------------------------------------------------

/**
 * Follow over server-sent events: a POST starts the session, later ones read its events.
 * @param {string} path
 * @param {Record<string, any>} [body] what starts the session
 * @returns {Connection}
 */
export function overEvents(path, body) {
  let isSent = body === undefined;
  return async (server, session, leaving) => {
    const response = await (isSent
      ? server.fetch(`/api/sessions/${session.sessionId}/events`, {
          headers: session.cursor ? { 'Last-Event-ID': session.cursor } : {},
          signal: leaving,
        })
      : server.fetch(path, { method: 'POST', json: body, signal: leaving }));
    isSent = true;
    const sessionId = response.headers.get('X-Session-Id');
    if (sessionId) session.begin(sessionId);
    session.say('live');
    if (response.status === 204 || !response.body) return void (await fillGap(server, session));
    const events = readEvents(response.body);
    try {
      for (let event; (event = await next(events)); ) {
        const message = JSON.parse(event.data);
        if (message.type === 'gap') return void (await fillGap(server, session));
        const wait = session.take(message);
        if (wait) await wait;
        if (session.terminal !== undefined) return;
      }
    } finally {
      await events.return();
    }
    throw new AntiphonError('connection_lost', 'the connection is lost');
  };
}

/**
 * Give the next event; undefined at the end. That reading broke is told from a handler's error.
 * @param {AsyncGenerator<import('./sse.js').ServerSentEvent, void, void>} events
 */
async function next(events) {
  try {
    return (await events.next()).value;
  } catch {
    throw new AntiphonError('connection_lost', 'the connection is lost');
  }
}
