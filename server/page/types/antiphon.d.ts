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
export function createClient(settings?: Settings): {
    generateStream: (request: GenerateRequest, handlers?: Handlers & GenerateHandlers, options?: Options) => Promise<GenerateResult>;
    generateContentStream: (params: ContentRequest, callbacks?: ContentCallbacks & Handlers, options?: Options & {
        half?: "draft" | "format";
    }) => Promise<ContentResult | undefined>;
    rateStream: (request: Record<string, any>, handlers?: Handlers & RaterHandlers, options?: Options) => Promise<Message>;
    chat: (data: Record<string, any>, handlers?: Handlers & ChatHandlers, options?: Options) => Promise<Message>;
    multiChat: (data: Record<string, any>, handlers?: Handlers & ChatHandlers, options?: Options) => Promise<Message>;
    exhibit: (request: {
        curator_brief: Record<string, any>;
        config?: Record<string, any>;
    }, handlers?: Handlers & ExhibitionHandlers, options?: Options & {
        idempotencyKey?: string;
    }) => Promise<Message>;
    proposal: (sessionId: string) => Promise<Message>;
    select: (sessionId: string, stage: "artist_discovery" | "artwork_discovery", indices: number[]) => Promise<any>;
    cancel: (sessionId: string, target?: Record<string, any>) => Promise<any>;
    /** The server, for requests of your own: `server.json(path, init)`. */
    server: Server;
};
export { Fold } from "./antiphon/fold.js";
/** @type {Client['generateStream']} */
export const generateStream: Client["generateStream"];
/** @type {Client['generateContentStream']} */
export const generateContentStream: Client["generateContentStream"];
/** @type {Client['rateStream']} */
export const rateStream: Client["rateStream"];
/** @type {Client['chat']} */
export const chat: Client["chat"];
/** @type {Client['multiChat']} */
export const multiChat: Client["multiChat"];
/** @type {Client['exhibit']} */
export const exhibit: Client["exhibit"];
export type Settings = import("./antiphon/http.js").Settings;
export type Handlers = import("./antiphon/session.js").Handlers;
export type ConnectionState = import("./antiphon/session.js").ConnectionState;
export type Part = import("./antiphon/fold.js").Part;
export type Receipt = import("./antiphon/errors.js").Receipt;
export type Usage = import("./antiphon/errors.js").Usage;
export type ErrorDetail = import("./antiphon/errors.js").ErrorDetail;
/**
 * a message of the wire, as it came
 */
export type Message = Record<string, any>;
/**
 * What any call takes besides its request.
 */
export type Options = {
    /**
     * cancels the session when it is aborted
     */
    signal?: AbortSignal | undefined;
    /**
     * echoed in each message; made up unless given
     */
    requestId?: string | undefined;
    /**
     * whether the session goes on when nobody reads along
     */
    detached?: boolean | undefined;
    /**
     * seconds after which the session is cancelled
     */
    deadlineS?: number | undefined;
    /**
     * tokens that the whole session may use
     */
    tokenBudget?: number | undefined;
    /**
     * follow this session instead of starting one: after a reload
     */
    sessionId?: string | undefined;
};
/**
 * seed 1's GenerateOptions
 */
export type GenerateRequest = {
    request: {
        input: string;
        phases?: string[];
        count?: number;
        temperature?: number;
        maxTokens?: number;
        tags?: string[];
        context?: string[];
        persona?: string;
        targetModel?: string;
        targetUseCase?: string;
    };
    phaseConfigs?: {
        phase: string;
        provider: string;
        model?: string;
    }[] | undefined;
    useParallel?: boolean | undefined;
    includeContext?: boolean | undefined;
    autoSelect?: boolean | undefined;
    optimize?: boolean | undefined;
};
export type GenerateHandlers = {
    onPhaseStart?: ((phase: string) => void) | undefined;
    /**
     * for those who fold by themselves; see `onText`
     */
    onChunk?: ((chunk: Message) => void) | undefined;
    onPromptComplete?: ((prompt: Message) => void) | undefined;
    onPromptFailed?: ((prompt: Message) => void) | undefined;
    onPhaseComplete?: ((phase: string) => void) | undefined;
};
export type GenerateResult = {
    prompts: Message[];
    rankings: Message[];
    selected?: Message;
    failed?: Message[];
    cancelled?: Message[];
    session_id: string;
    usage: Usage;
};
/**
 * seed 2's body of `/run/stream`
 */
export type ContentRequest = {
    content_type: "MCQ" | "NMCQ" | "SUMMARY";
    input_text: string;
    num_questions?: number | undefined;
    focus_areas?: string | undefined;
    generator_model?: string | undefined;
    formatter_model?: string | undefined;
    generator_temperature?: number | undefined;
    generator_top_p?: number | undefined;
    formatter_temperature?: number | undefined;
    formatter_top_p?: number | undefined;
    max_retries?: number | undefined;
};
/**
 * Seed 2's callbacks. With `onError` the promise resolves where it would have rejected, as in the
 * seed; a cancel by the signal rejects all the same.
 */
export type ContentCallbacks = {
    onProgress?: ((data: {
        stage: string;
        message: string;
        progress: number;
    }) => void) | undefined;
    onDraft?: ((draft: string) => void) | undefined;
    onToken?: ((token: string, stage: string) => void) | undefined;
    onComplete?: ((result: ContentResult) => void) | undefined;
    onError?: ((message: string, error: Error) => void) | undefined;
};
export type ContentResult = {
    success: boolean;
    output: string | null;
    partial_output?: string;
    validation_errors: {
        line: number;
        message: string;
        section: string;
    }[];
    metadata: Record<string, any>;
    usage: Usage;
};
export type RaterHandlers = {
    onStatus?: ((status: {
        phase: string;
        message: string;
        progress: number;
        raterName?: string;
    }) => void) | undefined;
    /**
     * what can be read of the answer so far: it replaces what came before
     */
    onPartial?: ((feedback: {
        opinion?: string;
        suggestions?: string[];
    }, raterName?: string) => void) | undefined;
    /**
     * each rater's, as it comes
     */
    onResult?: ((data: Message, raterName?: string) => void) | undefined;
    /**
     * one of several raters failed
     */
    onRaterError?: ((error: Message) => void) | undefined;
};
export type ChatHandlers = {
    onStatus?: ((status: {
        status: string;
        message: string;
        persona_id?: string;
        index?: number;
    }) => void) | undefined;
    onChunk?: ((chunk: string, personaId: string | undefined, message: Message) => void) | undefined;
    onReasoning?: ((chunk: string) => void) | undefined;
    onPersonaResponse?: ((answer: Message) => void) | undefined;
    /**
     * one of several personas failed
     */
    onPersonaError?: ((error: Message) => void) | undefined;
};
export type ExhibitionHandlers = {
    onProgress?: ((progress: {
        stage: string;
        progress: number;
        message: string;
    }) => void) | undefined;
    /**
     * an artist or an artwork, as soon as it is found
     */
    onItem?: ((item: Message) => void) | undefined;
    onStageComplete?: ((stage: string, data: Message) => void) | undefined;
    /**
     * answer with `client.select`
     */
    onSelectionRequired?: ((choice: {
        stage: string;
        candidates: Message[];
        expires_at: string;
    }) => void) | undefined;
};
export type Client = ReturnType<typeof createClient>;
import { Server } from './antiphon/http.js';
export { AntiphonError, CancelledError } from "./antiphon/errors.js";
export { EventParser, readEvents } from "./antiphon/sse.js";
