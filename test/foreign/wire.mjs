// The wire of swarm as docs/protocol.md tells it: frames, the envelope, and the
// two shapes of exchange this client needs.

import { randomUUID } from 'node:crypto'
import { peerIdFromString } from '@libp2p/peer-id'

const MAX_FRAME = 1 << 20
const MAX_DEPTH = 32

// SwarmError is an error message of a peer (section 6).
export class SwarmError extends Error {
  constructor (payload) {
    super(`${payload.code}: ${payload.message}`)
    this.code = payload.code
    this.payload = payload
  }
}

// TooLarge is a frame over the limit: 413.
export class TooLarge extends Error {}

// uvarint encodes a length (section 3).
export function uvarint (n) {
  const out = []
  while (n >= 0x80) {
    out.push((n & 0x7f) | 0x80)
    n >>>= 7
  }
  out.push(n)
  return Uint8Array.from(out)
}

function concat (...parts) {
  const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const p of parts) {
    out.set(p, at)
    at += p.length
  }
  return out
}

// envelope makes a message; its payload is an object.
export function envelope (sender, type, payload) {
  return { id: randomUUID(), type, sender, timestamp: new Date().toISOString(), payload }
}

export function encodeFrame (message) {
  const body = new TextEncoder().encode(JSON.stringify(message))
  if (body.length > MAX_FRAME) throw new Error(`a frame of ${body.length} bytes is too large`)
  return concat(uvarint(body.length), body)
}

// decodeEnvelope reads a message strictly (section 3).
export function decodeEnvelope (bytes) {
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  const m = JSON.parse(text)
  if (typeof m !== 'object' || m === null || Array.isArray(m)) throw new Error('a message is a JSON object')
  checkStructure(text)
  for (const name of ['id', 'type', 'sender', 'timestamp']) {
    if (typeof m[name] !== 'string') throw new Error(`the message has no ${name}`)
  }
  if (!UUID.test(m.id)) throw new Error('id: want a UUID of version 4')
  if (m.replyTo !== undefined && !UUID.test(m.replyTo)) throw new Error('replyTo: want a UUID of version 4')
  if (!TYPE.test(m.type)) throw new Error('type: want 1 to 64 of [a-z0-9_]')
  if (!RFC3339.test(m.timestamp) || Number.isNaN(Date.parse(m.timestamp))) throw new Error('timestamp: want RFC 3339')
  if (m.end !== undefined && typeof m.end !== 'boolean') throw new Error('end: want true or false')
  peerIdFromString(m.sender)
  return m
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/i
const TYPE = /^[a-z0-9_]{1,64}$/
const RFC3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/
const TOKENS = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/g

// checkStructure checks what JSON.parse lets through: depth, names that occur
// twice, unpaired surrogates.
function checkStructure (text) {
  const open = []
  for (const [token, colon] of text.matchAll(TOKENS)) {
    if (token === '{' || token === '[') {
      if (open.push(new Set()) > MAX_DEPTH) throw new Error(`JSON is nested deeper than ${MAX_DEPTH}`)
    } else if (token === '}' || token === ']') {
      open.pop()
    } else {
      const value = JSON.parse(colon === undefined ? token : token.slice(0, -colon.length))
      if (!value.isWellFormed()) throw new Error('an unpaired surrogate')
      if (colon === undefined) continue
      const names = open.at(-1)
      if (names.has(value)) throw new Error(`the name ${value} occurs twice`)
      names.add(value)
    }
  }
}

// Frames reads the frames of a stream.
export class Frames {
  constructor (stream) {
    this.chunks = stream[Symbol.asyncIterator]()
    this.rest = new Uint8Array(0)
  }

  async more () {
    const { done, value } = await this.chunks.next()
    if (done) return false
    this.rest = concat(this.rest, value.subarray())
    return true
  }

  // next returns one message, or null at the end of the stream.
  async next () {
    let length = 0
    let at = 0
    for (let last = false; !last; at++) {
      while (at >= this.rest.length) {
        if (!await this.more()) {
          if (at > 0) throw new Error('the stream ended within a length')
          return null
        }
      }
      const b = this.rest[at]
      length += (b & 0x7f) * 2 ** (7 * at)
      last = b < 0x80
      if (last && at > 0 && b === 0) throw new Error('the length is not in its shortest form')
      if (length > MAX_FRAME || at > 8) throw new TooLarge('the frame is too large')
    }
    while (this.rest.length < at + length) {
      if (!await this.more()) throw new Error('the stream ended within a frame')
    }
    const body = this.rest.subarray(at, at + length)
    this.rest = this.rest.slice(at + length)
    return decodeEnvelope(body)
  }
}

// Channel is a stream of one family to a peer. It carries one call after the
// other (section 4).
export class Channel {
  static async open (connection, self, protocol) {
    return new Channel(await connection.newStream(protocol), self, connection.remotePeer.toString())
  }

  constructor (stream, self, peer) {
    this.stream = stream
    this.self = self
    this.peer = peer
    this.frames = new Frames(stream)
  }

  async send (message) {
    if (!this.stream.send(encodeFrame(message))) await this.stream.onDrain()
  }

  // reply reads the answer to a request and checks it.
  async reply (request, type) {
    const m = await this.frames.next()
    if (m === null) throw new Error('the stream ended without an answer')
    if (m.sender !== this.peer) throw new Error(`the reply comes from ${m.sender}`)
    if (m.type === 'error' && (m.replyTo === request.id || m.replyTo === undefined)) throw new SwarmError(m.payload)
    if (m.replyTo !== request.id) throw new Error(`the reply is to ${m.replyTo}`)
    if (m.type !== type) throw new Error(`the reply has type ${m.type}, not ${type}`)
    return m
  }

  async call (type, payload, replyType) {
    const request = envelope(this.self, type, payload)
    await this.send(request)
    return this.reply(request, replyType)
  }

  // feed yields the items of a feed.
  async * feed (type, payload, itemType) {
    const request = envelope(this.self, type, payload)
    await this.send(request)
    for (;;) {
      const m = await this.reply(request, itemType)
      yield m.payload
      if (m.end === true) return
    }
  }

  // notice sends one message, ends the writing side and waits for the end.
  async notice (type, payload) {
    const m = envelope(this.self, type, payload)
    await this.send(m)
    await this.stream.close()
    const answer = await this.frames.next()
    if (answer !== null) throw new SwarmError(answer.payload)
  }

  async close () { await this.stream.close() }
}
