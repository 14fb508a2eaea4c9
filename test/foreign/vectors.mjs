// Runs test vectors of streams/testdata/vectors: those a client needs.
//
//   node vectors.mjs DIR

import './node20.mjs'
import { readFile } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { Frames, TooLarge, decodeEnvelope } from './wire.mjs'

const WINDOW_MS = 10 * 60 * 1000

// streamOf is a stream of js-libp2p as far as Frames needs it.
async function * streamOf (bytes) {
  for (const b of bytes) yield { subarray: () => Uint8Array.of(b) } // one byte at a time
}

async function decode (bytes) {
  try {
    return { message: await new Frames(streamOf(bytes)).next() }
  } catch (err) {
    return { code: err instanceof TooLarge ? 413 : 400 }
  }
}

// plain is a message in the form of the vectors.
function plain (m) {
  const { id, type, sender, payload, timestamp, replyTo, end } = m
  const out = { id: id.toLowerCase(), type, sender, timestampMs: Date.parse(timestamp) }
  if (payload !== undefined) out.payload = payload
  if (replyTo !== undefined) out.replyTo = replyTo.toLowerCase()
  if (end === true) out.end = true
  return out
}

async function frameCase (c) {
  const got = await decode(Buffer.from(c.bytes, 'hex'))
  if (c.code !== undefined) return got.code === c.code
  return got.message !== undefined && isDeepStrictEqual(plain(got.message), c.message)
}

function topicCase (c) {
  let verdict = 'accept'
  try {
    const m = decodeEnvelope(Buffer.from(c.data, 'hex'))
    if (m.sender !== c.from || m.type !== 'stats') verdict = 'reject'
    else if (Math.abs(Date.parse(m.timestamp) - Date.parse(c.now)) > WINDOW_MS) verdict = 'ignore'
    else if (m.payload?.node !== c.from) verdict = 'reject'
  } catch {
    verdict = 'reject'
  }
  return verdict === c.verdict
}

async function sessionCase (c) {
  const bytes = Buffer.from(c.bytes, 'hex')
  if (c.text !== undefined) return bytes.subarray(1).toString() === c.text && bytes[0] === bytes.length - 1
  const { message } = await decode(bytes)
  return isDeepStrictEqual(message, c.json)
}

let failed = 0
for (const [file, run] of Object.entries({ 'frames.json': frameCase, 'topic.json': topicCase, 'session.json': sessionCase })) {
  const { cases } = JSON.parse(await readFile(`${process.argv[2]}/${file}`))
  for (const c of cases) {
    if (await run(c)) continue
    failed++
    console.error(`${file}: ${c.name}`)
  }
  console.log(`${file}: ${cases.length} cases`)
}
process.exitCode = failed === 0 ? 0 : 1
