// The browser module under Node, against a real server: ANTIPHON_TEST_URL.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import WebSocket from 'ws';

import { AntiphonError, CancelledError, createClient } from '../../../../server/page/antiphon.js';
import { EventParser, readEvents } from '../../../../server/page/antiphon.js';
import { Fold } from '../../../../server/page/antiphon.js';

const baseUrl = process.env.ANTIPHON_TEST_URL;
const sockets = new Set();

class Kept extends WebSocket {
  constructor(...args) {
    super(...args);
    sockets.add(this);
    this.addEventListener('close', () => sockets.delete(this));
  }
}

const client = createClient({ baseUrl, WebSocket: Kept });
const idea = { request: { input: 'Explain tides', count: 2 }, useParallel: true, autoSelect: true };
const notes = {
  content_type: 'MCQ', num_questions: 2,
  input_text: 'The sinoatrial node sets the rhythm of the heart. Vagal tone slows it.',
};
const story = {
  plotPoint: 'The hero discovers a hidden door.',
  structured_context: { worldbuilding: { content: 'A world with magic.' } },
};
const session = (id) => client.server.json(`/api/sessions/${id}`);

test('generateStream gives the result, and folds exactly the texts of its prompts', async () => {
  const texts = new Map();
  const phases = [];
  const result = await client.generateStream(idea, {
    onPhaseStart: (phase) => phases.push(phase),
    onText: (part) => texts.set(part.target.prompt_id, part.text),
  });
  assert.equal(result.prompts.length, 6);
  assert.deepEqual(phases, ['prima-materia', 'solutio', 'coagulatio']);
  for (const { id, content } of result.prompts) assert.equal(texts.get(id), content);
  assert.equal(result.selected.reason, 'judge');
  assert.ok(result.usage.total_tokens > 0);
});

test('generateStream comes back after its socket broke, and loses and doubles nothing', async () => {
  const seqs = [];
  const states = [];
  let breaks = 0;
  await client.generateStream(idea, {
    onMessage: (message) => {
      if (message.seq) seqs.push([message.first_seq ?? message.seq, message.seq]);
      if (message.type === 'chunk' && seqs.length > 20 * (breaks + 1) && breaks < 3) {
        breaks += 1;
        for (const socket of sockets) socket.terminate();
      }
    },
    onConnection: (state) => states.push(state),
  });
  assert.equal(breaks, 3);
  assert.equal(states.filter((state) => state === 'lost').length, 3);
  let last = 0;
  for (const [first, seq] of seqs) {
    assert.equal(first, last + 1);
    last = seq;
  }
});

test('an aborted signal cancels, and rejects with the receipt once the server has done it', async () => {
  const stop = new AbortController();
  let id;
  const running = client.generateStream(
    idea,
    { onSession: ({ sessionId }) => (id = sessionId), onChunk: () => stop.abort() },
    { signal: stop.signal },
  );
  await assert.rejects(running, (error) => {
    assert.ok(error instanceof CancelledError);
    assert.equal(error.name, 'AbortError');
    assert.ok(error.receipt.accepted_at_seq > 0);
    assert.ok(Object.keys(error.partial).length > 0);
    return true;
  });
  assert.equal((await session(id)).state, 'cancelled');
});

test('an abort works while the connection is broken', async () => {
  const stop = new AbortController();
  const running = client.generateStream(
    idea,
    {
      onChunk: () => {
        for (const socket of sockets) socket.terminate();
        stop.abort();
      },
    },
    { signal: stop.signal },
  );
  await assert.rejects(running, (error) => error.receipt !== undefined);
});

test('a signal that was aborted before starts nothing', async () => {
  const running = client.generateStream(idea, {}, { signal: AbortSignal.abort() });
  await assert.rejects(running, CancelledError);
});

test('a refused request rejects with its code and details', async () => {
  await assert.rejects(client.generateStream({ request: { input: ' ', count: 0 } }), (error) => {
    assert.ok(error instanceof AntiphonError);
    assert.equal(error.code, 'invalid_request');
    assert.ok(error.details.length >= 1);
    return true;
  });
});

test('a server that is not there rejects with its own code', async () => {
  const nowhere = createClient({ baseUrl: 'http://127.0.0.1:9', WebSocket: Kept });
  await assert.rejects(nowhere.generateStream(idea), { code: 'not_connected' });
  await assert.rejects(nowhere.rateStream({}), { code: 'connection_lost' });
});

test('following by the session id gives the same again', async () => {
  let sessionId;
  const first = await client.generateStream(idea, {
    onSession: (begun) => ({ sessionId } = begun),
  });
  assert.deepEqual(await client.generateStream(idea, {}, { sessionId }), first);
});

test("generateContentStream has seed 2's callbacks", async () => {
  const said = { progress: [], tokens: '', drafts: [], results: [] };
  const result = await client.generateContentStream(notes, {
    onProgress: (data) => said.progress.push(data.progress),
    onToken: (token, stage) => (said.tokens += stage === 'generator' ? token : ''),
    onDraft: (draft) => said.drafts.push(draft),
    onComplete: (complete) => said.results.push(complete),
    onError: (message) => assert.fail(message),
  });
  assert.equal(said.results.length, 1);
  assert.equal(said.results[0], result);
  assert.equal(result.success, true);
  assert.deepEqual(said.drafts, [said.tokens]);
  assert.deepEqual(said.progress, [...said.progress].sort((a, b) => a - b));
  assert.equal(said.progress.at(-1), 100);
});

test('onError takes the place of a rejection, as in the seed', async () => {
  const errors = [];
  const result = await client.generateContentStream(
    { content_type: 'MCQ', input_text: 'short' },
    { onError: (message, error) => errors.push([typeof message, error.code]) },
  );
  assert.equal(result, undefined);
  assert.deepEqual(errors, [['string', 'invalid_request']]);
  await assert.rejects(client.generateContentStream({}), { code: 'invalid_request' });
});

test('a content stream that breaks is resumed by Last-Event-ID', async () => {
  let breaks = 0;
  const breaking = createClient({
    baseUrl,
    WebSocket: Kept,
    fetch: async (url, init) => {
      const response = await fetch(url, init);
      if (!String(url).match(/events|stream/) || breaks >= 2) return response;
      breaks += 1;
      return new Response(cutAfter(response.body, 3000), response);
    },
  });
  let text = '';
  const result = await breaking.generateContentStream(notes, {
    onText: (part) => {
      if (part.target.stage === 'formatter') text = part.text;
    },
  });
  assert.equal(breaks, 2);
  assert.equal(text.trim(), result.output);
});

/** A cursor that no log of this session holds: the server answers it with a gap, and then anew. */
const LOST = 'an-epoch-of-nobody:7';

test('a gap over a WebSocket is filled with the parts as they are, and nothing comes twice', async () => {
  const gaps = [];
  let breaks = 0;
  class Forgetful extends Kept {
    constructor(...args) {
      super(...args);
      this.addEventListener('message', ({ data }) => {
        const message = JSON.parse(data);
        if (message.type === 'gap') gaps.push(message);
      });
    }

    send(text) {
      const message = JSON.parse(text);
      if (message.type === 'subscribe' && gaps.length === 0) message.after = LOST;
      super.send(JSON.stringify(message));
    }
  }
  const slowly = async (url, init) => { // the log goes on while the picture is on its way
    const response = await fetch(url, init);
    await new Promise((resolve) => setTimeout(resolve, 150));
    return response;
  };
  const forgetful = createClient({ baseUrl, WebSocket: Forgetful, fetch: slowly });
  const texts = new Map();
  const seqs = [];
  const replaced = new Set();
  const result = await forgetful.generateStream(idea, {
    onMessage: (message) => {
      seqs.push([message.first_seq ?? message.seq, message.seq]);
      if (message.type === 'prompt_complete' && breaks === 0) {
        breaks += 1;
        for (const socket of sockets) socket.terminate();
      }
    },
    onText: (part, added) => {
      texts.set(part.target.prompt_id, part.text);
      if (added === null && part.text) replaced.add(part.target.prompt_id);
    },
  });
  assert.equal(gaps.length, 1);
  assert.equal(gaps[0].requested, 8);
  assert.ok(replaced.size >= 2, 'the parts so far came whole');
  for (const { id, content } of result.prompts) assert.equal(texts.get(id), content);
  for (const [place, [first]] of seqs.entries()) {
    assert.ok(place === 0 || first > seqs[place - 1][1], 'a message came twice');
  }
});

test('a gap over SSE is filled in the same way', async () => {
  let gaps = 0;
  let breaks = 0;
  const forgetful = createClient({
    baseUrl,
    WebSocket: Kept,
    fetch: async (url, init) => {
      const isAgain = String(url).endsWith('/events');
      if (isAgain && gaps === 0) {
        init.headers.set('Last-Event-ID', LOST);
        const response = await fetch(url, init);
        return new Response(response.body.pipeThrough(new TransformStream({
          transform(chunk, controller) {
            gaps += new TextDecoder().decode(chunk).split('"type":"gap"').length - 1;
            controller.enqueue(chunk);
          },
        })), response);
      }
      const response = await fetch(url, init);
      if (!String(url).endsWith('/run/stream') || breaks > 0) return response;
      breaks += 1;
      return new Response(cutAfter(response.body, 3000), response);
    },
  });
  const texts = {};
  let last = 0;
  const result = await forgetful.generateContentStream(notes, {
    onMessage: ({ seq, first_seq: first = seq }) => {
      assert.ok(first > last, 'a message came twice');
      last = seq;
    },
    onText: (part) => (texts[part.target.stage] = part.text),
  });
  assert.deepEqual([gaps, breaks], [1, 1]);
  assert.equal(texts.formatter.trim(), result.output);
  assert.ok(texts.generator.length > 0);
});

test('a gap after the end gives the end', async () => {
  let sessionId;
  const first = await client.generateStream(idea, {
    onSession: (begun) => ({ sessionId } = begun),
  });
  let isLost = false;
  class Lost extends Kept {
    send(text) {
      const message = JSON.parse(text);
      if (message.type === 'subscribe') {
        message.after = LOST;
        isLost = true;
      }
      super.send(JSON.stringify(message));
    }
  }
  const lost = createClient({ baseUrl, WebSocket: Lost });
  assert.deepEqual(await lost.generateStream(idea, {}, { sessionId }), first);
  assert.ok(isLost);
});

function cutAfter(body, bytes) {
  let left = bytes;
  return body.pipeThrough(new TransformStream({
    transform(chunk, controller) {
      controller.enqueue(chunk.subarray(0, left));
      left -= chunk.length;
      if (left <= 0) controller.error(new TypeError('network error'));
    },
  }));
}

test('rateStream asks one rater, or several at once', async () => {
  const phases = [];
  const one = await client.rateStream(
    { ...story, raterPrompt: 'You are a story critic.' },
    { onStatus: ({ phase }) => phases.push(phase) },
  );
  assert.ok(one.feedback.suggestions.length >= 4);
  assert.equal(phases.at(-1), 'complete');
  const raters = ['Ada', 'Bo'].map((raterName) => ({ raterName, raterPrompt: 'Be kind.' }));
  const heard = new Set();
  const all = await client.rateStream(
    { ...story, raters }, { onPartial: (_, name) => heard.add(name) });
  assert.deepEqual(all.results.map((each) => each.raterName), ['Ada', 'Bo']);
  assert.deepEqual([...heard].sort(), ['Ada', 'Bo']);
});

test('chat goes on with a conversation, and multiChat answers in order', async () => {
  let text = '';
  const first = await client.chat(
    { message: 'Hello?', persona_id: 'data_scientist' }, { onChunk: (chunk) => (text += chunk) });
  assert.equal(first.response, text);
  const second = await client.chat({
    message: 'And then?', persona_id: 'data_scientist', conversation_id: first.conversation_id,
  });
  assert.equal(second.conversation_id, first.conversation_id);
  const ids = ['creative_writer', 'tech_enthusiast'];
  const answered = [];
  const both = await client.multiChat(
    { message: 'Well?', persona_ids: ids },
    { onPersonaResponse: ({ persona_id: id }) => answered.push(id) });
  assert.deepEqual(both.responses.map((each) => each.persona_id), ids);
  assert.deepEqual(answered.sort(), ids);
});

test('exhibit curates, and gives the proposal', async () => {
  const stages = [];
  const request = {
    curator_brief: {
      theme_title: 'Dreams Unchained',
      theme_description: 'How the surrealists painted dreams and the unconscious, and why it matters.',
      theme_concepts: ['surrealism', 'dreams'],
    },
    config: { max_artists: 3, max_artworks: 5, auto_select: false },
  };
  const proposal = await client.exhibit(request, {
    onStageComplete: (stage) => stages.push(stage),
    onSelectionRequired: ({ stage }) => void client.select(current, stage, [0, 1]),
    onSession: ({ sessionId }) => (current = sessionId),
  });
  assert.deepEqual(stages, ['theme_refinement', 'artist_discovery', 'artwork_discovery']);
  assert.equal(proposal.artists.length, 2);
  assert.equal(proposal.artworks.length, 2);
});
let current;

// ---- without a server --------------------------------------------------------------------------

const STREAM = ': hello\r\n\r\nid: e:1\r\nevent: token\r\ndata: {"a":\r\ndata: 1}\r\n\r\n' +
  'data:naïve ☕ 𝄞\n\nid\rdata: last\r\r' + 'data: never finished';
const EVENTS = [
  { event: 'token', data: '{"a":\n1}', id: 'e:1' },
  { event: 'message', data: 'naïve ☕ 𝄞', id: 'e:1' },
  { event: 'message', data: 'last', id: '' },
];

test('events are the same wherever the stream is cut', async () => {
  const bytes = new TextEncoder().encode(STREAM);
  for (let size = 1; size <= bytes.length; size += 1) {
    const body = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += size) {
          controller.enqueue(bytes.subarray(at, at + size));
        }
        controller.close();
      },
    });
    const events = [];
    for await (const event of readEvents(body)) events.push(event);
    assert.deepEqual(events, EVENTS, `cut every ${size} bytes`);
  }
});

test('a long line that comes in pieces is searched once', () => {
  const parser = new EventParser();
  const piece = 'x'.repeat(64);
  parser.push('data: ');
  const began = performance.now();
  for (let n = 0; n < 20_000; n += 1) assert.deepEqual(parser.push(piece), []);
  const [event] = parser.push('\n\n');
  assert.equal(event.data.length, 20_000 * 64);
  assert.ok(performance.now() - began < 5000);
});

test('reading waits for a slow handler: nothing is read ahead of it', async () => {
  let pulled = 0;
  const body = new ReadableStream({
    pull(controller) {
      pulled += 1;
      controller.enqueue(new TextEncoder().encode(`data: ${pulled}\n\n`));
      if (pulled === 50) controller.close();
    },
  }, { highWaterMark: 0 });
  for await (const { data } of readEvents(body)) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    assert.ok(pulled <= Number(data) + 1);
  }
});

test('an attempt voids the text of what its target names, and of nothing else', () => {
  const told = [];
  const fold = new Fold((part, added) => told.push([part.key, added]));
  const chunk = (id, round, text) =>
    fold.apply({ type: 'chunk', persona_id: id, ...(round ? { round } : {}), chunk: text });
  chunk('a', 0, 'one ');
  chunk('b', 0, 'other ');
  chunk('a', 0, 'two');
  fold.apply({ type: 'attempt', target: { persona_id: 'a' }, attempt: 2, reason: 'provider' });
  chunk('a', 0, 'again');
  fold.apply({ type: 'attempt', target: {}, attempt: 9 });
  assert.deepEqual([...fold.parts.values()].map(({ text }) => text), ['again', 'other ']);
  assert.equal(fold.parts.get('persona_id:a').attempt, 2);
  assert.deepEqual(told.at(3), ['persona_id:a', null]);
});
