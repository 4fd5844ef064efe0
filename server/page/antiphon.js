/**
 * Antiphon in the browser: start sessions, read along as they are written, cancel, come back.
 *
 * No dependencies and no build step; serve this file and the folder `antiphon/` beside it. Works in
 * Node 20 and later as well (before Node 22 with a WebSocket passed to `createClient`).
 *
 *     import { generateStream } from '/page/antiphon.js';
 *
 *     const stop = new AbortController();
 *     const { prompts } = await generateStream(
 *       { request: { input: 'Explain backpressure', count: 2 } },
 *       { onText: (part, added) => console.log(part.target.prompt_id, added ?? '(again)') },
 *       { signal: stop.signal },
 *     );
 *
 * All calls have in common:
 * - They give a promise of the result. It rejects with an `AntiphonError` (see its `code`), or with
 *   a `CancelledError` (`name` "AbortError", with the server's receipt) once the signal was aborted
 *   and the server has closed the model's stream.
 * - A lost connection is no error: they come back with a backoff, and no message is lost or doubled.
 *   The request itself is sent once only.
 * - `onText(part, added)` folds attempts: `part.text` is always exactly the text that counts.
 * @module
 */

import { cancelSession, follow, overEvents, overSocket } from './antiphon/follow.js';
import { Server } from './antiphon/http.js';
import { Session } from './antiphon/session.js';

export { AntiphonError, CancelledError } from './antiphon/errors.js';
export { EventParser, readEvents } from './antiphon/sse.js';
export { Fold } from './antiphon/fold.js';

/**
 * @typedef {import('./antiphon/http.js').Settings} Settings
 * @typedef {import('./antiphon/session.js').Handlers} Handlers
 * @typedef {import('./antiphon/session.js').ConnectionState} ConnectionState
 * @typedef {import('./antiphon/fold.js').Part} Part
 * @typedef {import('./antiphon/errors.js').Receipt} Receipt
 * @typedef {import('./antiphon/errors.js').Usage} Usage
 * @typedef {import('./antiphon/errors.js').ErrorDetail} ErrorDetail
 * @typedef {Record<string, any>} Message a message of the wire, as it came
 */

/**
 * What any call takes besides its request.
 * @typedef {object} Options
 * @property {AbortSignal} [signal] cancels the session when it is aborted
 * @property {string} [requestId] echoed in each message; made up unless given
 * @property {boolean} [detached] whether the session goes on when nobody reads along
 * @property {number} [deadlineS] seconds after which the session is cancelled
 * @property {number} [tokenBudget] tokens that the whole session may use
 * @property {string} [sessionId] follow this session instead of starting one: after a reload
 */

/**
 * @typedef {object} GenerateRequest seed 1's GenerateOptions
 * @property {{input: string, phases?: string[], count?: number, temperature?: number,
 *   maxTokens?: number, tags?: string[], context?: string[], persona?: string,
 *   targetModel?: string, targetUseCase?: string}} request
 * @property {{phase: string, provider: string, model?: string}[]} [phaseConfigs]
 * @property {boolean} [useParallel]
 * @property {boolean} [includeContext]
 * @property {boolean} [autoSelect]
 * @property {boolean} [optimize]
 */

/**
 * @typedef {object} GenerateHandlers
 * @property {(phase: string) => void} [onPhaseStart]
 * @property {(chunk: Message) => void} [onChunk] for those who fold by themselves; see `onText`
 * @property {(prompt: Message) => void} [onPromptComplete]
 * @property {(prompt: Message) => void} [onPromptFailed]
 * @property {(phase: string) => void} [onPhaseComplete]
 */

/**
 * @typedef {{prompts: Message[], rankings: Message[], selected?: Message, failed?: Message[],
 *   cancelled?: Message[], session_id: string, usage: Usage}} GenerateResult
 */

/**
 * @typedef {object} ContentRequest seed 2's body of `/run/stream`
 * @property {'MCQ' | 'NMCQ' | 'SUMMARY'} content_type
 * @property {string} input_text
 * @property {number} [num_questions]
 * @property {string} [focus_areas]
 * @property {string} [generator_model]
 * @property {string} [formatter_model]
 * @property {number} [generator_temperature]
 * @property {number} [generator_top_p]
 * @property {number} [formatter_temperature]
 * @property {number} [formatter_top_p]
 * @property {number} [max_retries]
 */

/**
 * Seed 2's callbacks. With `onError` the promise resolves where it would have rejected, as in the
 * seed; a cancel by the signal rejects all the same.
 * @typedef {object} ContentCallbacks
 * @property {(data: {stage: string, message: string, progress: number}) => void} [onProgress]
 * @property {(draft: string) => void} [onDraft]
 * @property {(token: string, stage: string) => void} [onToken]
 * @property {(result: ContentResult) => void} [onComplete]
 * @property {(message: string, error: Error) => void} [onError]
 */

/**
 * @typedef {{success: boolean, output: string | null, partial_output?: string,
 *   validation_errors: {line: number, message: string, section: string}[],
 *   metadata: Record<string, any>, usage: Usage}} ContentResult
 */

/**
 * @typedef {object} RaterHandlers
 * @property {(status: {phase: string, message: string, progress: number, raterName?: string})
 *   => void} [onStatus]
 * @property {(feedback: {opinion?: string, suggestions?: string[]}, raterName?: string) => void}
 *   [onPartial] what can be read of the answer so far: it replaces what came before
 * @property {(data: Message, raterName?: string) => void} [onResult] each rater's, as it comes
 * @property {(error: Message) => void} [onRaterError] one of several raters failed
 */

/**
 * @typedef {object} ChatHandlers
 * @property {(status: {status: string, message: string, persona_id?: string, index?: number})
 *   => void} [onStatus]
 * @property {(chunk: string, personaId: string | undefined, message: Message) => void} [onChunk]
 * @property {(chunk: string) => void} [onReasoning]
 * @property {(answer: Message) => void} [onPersonaResponse]
 * @property {(error: Message) => void} [onPersonaError] one of several personas failed
 */

/**
 * @typedef {object} ExhibitionHandlers
 * @property {(progress: {stage: string, progress: number, message: string}) => void} [onProgress]
 * @property {(item: Message) => void} [onItem] an artist or an artwork, as soon as it is found
 * @property {(stage: string, data: Message) => void} [onStageComplete]
 * @property {(choice: {stage: string, candidates: Message[], expires_at: string}) => void}
 *   [onSelectionRequired] answer with `client.select`
 */

/**
 * Talk to one server.
 * @param {Settings} [settings]
 */
export function createClient(settings = {}) {
  const server = new Server(settings);

  /**
   * Refine an idea in phases (contract 1).
   * @param {GenerateRequest} request
   * @param {Handlers & GenerateHandlers} [handlers]
   * @param {Options} [options]
   * @returns {Promise<GenerateResult>}
   */
  async function generateStream(request, handlers = {}, options = {}) {
    const session = open(handlers, options, ['result'], {
      phase_start: ({ phase }) => handlers.onPhaseStart?.(phase),
      chunk: (chunk) => handlers.onChunk?.(chunk),
      prompt_complete: (prompt) => handlers.onPromptComplete?.(prompt),
      prompt_failed: (prompt) => handlers.onPromptFailed?.(prompt),
      phase_complete: ({ phase }) => handlers.onPhaseComplete?.(phase),
    });
    const first = options.sessionId ? undefined : withOptions(request, options, session);
    const connect = overSocket('/stream', first);
    const { content, usage } = await follow(server, session, connect, options.signal);
    return { ...JSON.parse(content), usage };
  }

  /**
   * Turn notes into questions or a summary (contract 2), with seed 2's callbacks.
   * @param {ContentRequest} params
   * @param {ContentCallbacks & Handlers} [callbacks]
   * @param {Options & {half?: 'draft' | 'format'}} [options] `half`: only the draft, or only the
   *   layout of a draft that a person has edited
   * @returns {Promise<ContentResult | undefined>} undefined only where `onError` was told
   */
  async function generateContentStream(params, callbacks = {}, options = {}) {
    const session = open(callbacks, options, ['complete'], {
      start: ({ stage, message }) => callbacks.onProgress?.({ stage, message, progress: 0 }),
      progress: (data) => callbacks.onProgress?.(data),
      token: ({ token, stage }) => callbacks.onToken?.(token, stage),
      draft: (data) => {
        callbacks.onProgress?.(data);
        return callbacks.onDraft?.(data.draft);
      },
    });
    const body = options.sessionId ? undefined : withOptions(params, options, session);
    const path = options.half ? `/run/stream/${options.half}` : '/run/stream';
    try {
      const connect = overEvents(path, body);
      const result = await follow(server, session, connect, options.signal);
      callbacks.onComplete?.(/** @type {any} */ (result));
      return /** @type {any} */ (result);
    } catch (error) {
      const isCancelled = error instanceof Error && error.name === 'AbortError';
      if (isCancelled || !callbacks.onError || !(error instanceof Error)) throw error;
      callbacks.onError(error.message, error);
      return undefined;
    }
  }

  /**
   * Ask a rater for feedback, or several at once where the request has `raters` (contract 3).
   * @param {Record<string, any>} request
   * @param {Handlers & RaterHandlers} [handlers]
   * @param {Options} [options]
   * @returns {Promise<Message>} the result's `data`
   */
  async function rateStream(request, handlers = {}, options = {}) {
    const session = open(
      handlers,
      options,
      ['result'],
      {
        status: (status) => handlers.onStatus?.(status),
        partial: ({ feedback, raterName }) => handlers.onPartial?.(feedback, raterName),
        result: ({ data, raterName }) => handlers.onResult?.(data, raterName),
        error: (error) => {
          if (error.raterName !== undefined) handlers.onRaterError?.(error);
        },
      },
      (message) => message.raterName !== undefined,
    );
    const base = '/api/v1/rater-feedback';
    const body = options.sessionId ? undefined : withOptions(request, options, session);
    const connect = overEvents(request.raters ? `${base}/batch/stream` : `${base}/stream`, body);
    return (await follow(server, session, connect, options.signal)).data;
  }

  /**
   * Talk with one persona (`data.message`, `data.persona_id`), or with the model itself
   * (`data.input_text`) (contract 4).
   * @param {Record<string, any>} data
   * @param {Handlers & ChatHandlers} [handlers]
   * @param {Options} [options]
   * @returns {Promise<Message>} the response's `data`; its `conversation_id` goes on with it
   */
  function chat(data, handlers = {}, options = {}) {
    return converse('input_text' in data ? 'openai_chat' : 'chat', data, handlers, options);
  }

  /**
   * Talk with several personas at once (`data.message`, `data.persona_ids`) (contract 4).
   * @param {Record<string, any>} data
   * @param {Handlers & ChatHandlers} [handlers]
   * @param {Options} [options]
   * @returns {Promise<Message>} the response's `data`: `responses` in the request's order
   */
  function multiChat(data, handlers = {}, options = {}) {
    return converse('multi_chat', data, handlers, options);
  }

  /**
   * @param {string} type
   * @param {Record<string, any>} data
   * @param {Handlers & ChatHandlers} handlers
   * @param {Options} options
   */
  async function converse(type, data, handlers, options) {
    const session = open(
      handlers,
      options,
      ['response'],
      {
        status: (status) => handlers.onStatus?.(status),
        chunk: (message) => handlers.onChunk?.(message.chunk, message.persona_id, message),
        reasoning: ({ chunk }) => handlers.onReasoning?.(chunk),
        persona_response: (answer) => handlers.onPersonaResponse?.(answer),
        error: (error) => {
          if (error.persona_id !== undefined) handlers.onPersonaError?.(error);
        },
      },
      (message) => message.persona_id !== undefined || message.usage === undefined,
    );
    const first = options.sessionId ? undefined : withOptions({ type, data }, options, session);
    return (await follow(server, session, overSocket('/ws', first), options.signal)).data;
  }

  /**
   * Curate an exhibition (contract 5).
   * @param {{curator_brief: Record<string, any>, config?: Record<string, any>}} request
   * @param {Handlers & ExhibitionHandlers} [handlers]
   * @param {Options & {idempotencyKey?: string}} [options]
   * @returns {Promise<Message>} the proposal
   */
  async function exhibit(request, handlers = {}, options = {}) {
    const session = open(handlers, options, ['completed'], {
      progress: (progress) => handlers.onProgress?.(progress),
      item: (item) => handlers.onItem?.(item),
      stage_complete: ({ stage, data }) => handlers.onStageComplete?.(stage, data),
      selection_required: (choice) => handlers.onSelectionRequired?.(choice),
    });
    if (!options.sessionId) {
      const key = options.idempotencyKey ?? session.requestId;
      const { session_id } = await server.json('/api/curator/submit', {
        method: 'POST',
        json: withOptions(request, options, session),
        headers: { 'Idempotency-Key': key },
      });
      session.begin(session_id);
    }
    const sessionId = String(session.sessionId);
    const path = `/ws/${encodeURIComponent(sessionId)}`;
    await follow(server, session, overSocket('/ws', undefined, path), options.signal);
    return proposal(sessionId);
  }

  /**
   * Give an exhibition's proposal; of a running or a failed session what there is of it.
   * @param {string} sessionId
   * @returns {Promise<Message>}
   */
  async function proposal(sessionId) {
    return (await server.json(`/api/proposals/${encodeURIComponent(sessionId)}`)).proposal;
  }

  /**
   * Answer an exhibition's `selection_required`.
   * @param {string} sessionId
   * @param {'artist_discovery' | 'artwork_discovery'} stage
   * @param {number[]} indices the chosen candidates, from 0
   */
  function select(sessionId, stage, indices) {
    const what = stage === 'artist_discovery' ? 'artists' : 'artworks';
    return server.json(`/api/sessions/${encodeURIComponent(sessionId)}/select-${what}`, {
      method: 'POST',
      json: { selected_indices: indices },
    });
  }

  /**
   * Cancel a session, or one part of it: `{prompt_id}`, `{persona_id}`, `{stage}` or `{phase}`.
   * @param {string} sessionId
   * @param {Record<string, any>} [target]
   */
  function cancel(sessionId, target) {
    return cancelSession(server, sessionId, target);
  }

  return {
    generateStream,
    generateContentStream,
    rateStream,
    chat,
    multiChat,
    exhibit,
    proposal,
    select,
    cancel,
    /** The server, for requests of your own: `server.json(path, init)`. */
    server,
  };
}

/** @typedef {ReturnType<typeof createClient>} Client */

/**
 * @param {Handlers} handlers
 * @param {Options} options
 * @param {string[]} finals
 * @param {Record<string, (message: any) => any>} on
 * @param {(message: Message) => boolean} [isOfPart]
 */
function open(handlers, options, finals, on, isOfPart) {
  return new Session({
    handlers,
    on,
    finals,
    isOfPart,
    requestId: options.requestId ?? newId(),
    sessionId: options.sessionId,
  });
}

function newId() {
  const bytes = globalThis.crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * @param {object} request
 * @param {Options} options
 * @param {Session} session
 * @returns {Record<string, any>}
 */
function withOptions(request, options, session) {
  return {
    ...request,
    request_id: session.requestId,
    ...(options.detached === undefined ? {} : { detached: options.detached }),
    ...(options.deadlineS === undefined ? {} : { deadline_s: options.deadlineS }),
    ...(options.tokenBudget === undefined ? {} : { token_budget: options.tokenBudget }),
  };
}

/** @type {Client | undefined} */
let own;

/** The page's own server. */
function ownClient() {
  own ??= createClient();
  return own;
}

/** @type {Client['generateStream']} */
export const generateStream = (...args) => ownClient().generateStream(...args);
/** @type {Client['generateContentStream']} */
export const generateContentStream = (...args) => ownClient().generateContentStream(...args);
/** @type {Client['rateStream']} */
export const rateStream = (...args) => ownClient().rateStream(...args);
/** @type {Client['chat']} */
export const chat = (...args) => ownClient().chat(...args);
/** @type {Client['multiChat']} */
export const multiChat = (...args) => ownClient().multiChat(...args);
/** @type {Client['exhibit']} */
export const exhibit = (...args) => ownClient().exhibit(...args);
