// The wire of swarm as docs/protocol.md tells it: frames, the envelope, and the
// two shapes of exchange this client needs.

import { randomUUID } from 'node:crypto'

const MAX_FRAME = 1 << 20

// SwarmError is an error message of a peer (section 6).
export class SwarmError extends Error {
  constructor (payload) {
    super(`${payload.code}: ${payload.message}`)
    this.code = payload.code
    this.payload = payload
  }
}

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

// decodeEnvelope checks what JSON.parse does not.
export function decodeEnvelope (bytes) {
  const m = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  for (const name of ['id', 'type', 'sender', 'timestamp']) {
    if (typeof m[name] !== 'string') throw new Error(`the message has no ${name}`)
  }
  return m
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
      if (length > MAX_FRAME || at > 3) throw new Error('the frame is too large')
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
