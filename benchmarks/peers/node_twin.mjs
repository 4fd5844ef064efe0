// Node's `ws` and its http server: a queue and a socket.
//
// node benchmarks/peers/node_twin.mjs [CERTIFICATE KEY]

import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocketServer } from 'ws'

const rooms = new Map()
const waiting = new Map()
const RESULT = JSON.stringify({ type: 'result', content: '{}' })
const CANCELLED = JSON.stringify({ type: 'cancelled' })

/** A bounded queue between a producer and a sender, as the Python twins have one. */
class Queue {
  #items = []
  #wake = null
  #room = null

  async put(item) {
    while (this.#items.length >= 64) await new Promise((done) => (this.#room = done))
    this.#items.push(item)
    this.#wake?.()
  }

  async get() {
    while (!this.#items.length) await new Promise((done) => (this.#wake = done))
    const item = this.#items.shift()
    this.#room?.()
    return item
  }
}

function chunk(sessionId, promptId, number) {
  return JSON.stringify({
    type: 'chunk',
    phase: 'prima-materia',
    prompt_id: promptId,
    model: 'default (simulated)',
    provider: 'simulated',
    content: ' token',
    tokens: number,
    timestamp: Math.floor(Date.now() / 1000),
    session_id: sessionId,
    epoch: '0123456789',
    seq: number,
  })
}

async function produce(queues, sessionId, wanted, state) {
  const promptId = randomUUID()
  if (wanted.wait_s) await sleep(wanted.wait_s * 1000)
  const start = performance.now()
  for (let number = 1; number <= wanted.tokens && !state.cancelled; number++) {
    if (wanted.rate) await sleep(Math.max(0, start + (number / wanted.rate) * 1000 - performance.now()))
    const text = chunk(sessionId, promptId, number)
    for (const queue of queues) await queue.put(text)
  }
  for (const queue of queues) await queue.put(null)
}

async function send(socket, queue, state) {
  for (let text; (text = await queue.get()) !== null; ) {
    if (state.cancelled) return
    if (socket.bufferedAmount > 65536) await new Promise((done) => socket.send(text, done))
    else socket.send(text)
  }
  if (!state.cancelled) socket.send(RESULT)
}

function stream(socket) {
  const state = { cancelled: false }
  let sessionId = null
  socket.on('error', () => {})
  socket.on('close', () => {
    state.cancelled = true
    rooms.delete(sessionId)
  })
  socket.on('message', (data) => {
    const wanted = JSON.parse(data)
    if (wanted.type === 'cancel') {
      state.cancelled = true
      socket.send(CANCELLED)
      return
    }
    const queue = new Queue()
    if (wanted.type === 'subscribe') {
      rooms.get(wanted.session_id).push(queue)
      socket.send(JSON.stringify({ type: 'subscribed', session_id: wanted.session_id }))
      send(socket, queue, state)
      return
    }
    sessionId = randomUUID()
    socket.send(JSON.stringify({ type: 'phase_start', session_id: sessionId }))
    if (wanted.sse) {
      waiting.set(sessionId, wanted)
      return
    }
    const queues = [queue]
    rooms.set(sessionId, queues)
    produce(queues, sessionId, wanted, state)
    send(socket, queue, state)
  })
}

async function events(request, response) {
  const sessionId = request.url.split('/').pop()
  const wanted = waiting.get(sessionId)
  waiting.delete(sessionId)
  if (!wanted) {
    response.writeHead(404).end()
    return
  }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  response.flushHeaders()
  const queue = new Queue()
  produce([queue], sessionId, wanted, { cancelled: false })
  for (let text; (text = await queue.get()) !== null; ) {
    if (!response.write(`data: ${text}\n\n`)) await once(response, 'drain')
  }
  response.end(`data: ${RESULT}\n\n`)
}

const [cert, key] = process.argv.slice(2)
const server = cert
  ? https.createServer({ cert: readFileSync(cert), key: readFileSync(key) }, events)
  : http.createServer(events)
new WebSocketServer({ server, perMessageDeflate: false }).on('connection', stream)
server.listen(0, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`)
})
process.on('SIGTERM', () => process.exit(0))
