// A client of swarm on js-libp2p, which knows what docs/protocol.md says.
//
//   node client.mjs id SEED                    prints the peer ID of a key
//   node client.mjs run SEED STRANGER ADDR…    tries a worker at each address
//
// SEED and STRANGER are 64 hexadecimal digits; the worker lets SEED's peer
// command it. Each step prints one line of JSON.

import './node20.mjs'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { Channel, SwarmError, decodeEnvelope } from './wire.mjs'

const LIFECYCLE = '/swarm/lifecycle/1.0.0'
const OPS = '/swarm/ops/1.0.0'
const LOGS = '/swarm/logs/1.0.0'
const STATS_TOPIC = '/swarm/stats/1.0.0'
const VERSION = '1.0.0'

function keyOf (seed) { return generateKeyPairFromSeed('Ed25519', Buffer.from(seed, 'hex')) }

function tell (step, more) { console.log(JSON.stringify({ step, ...more })) }

async function newNode (seed) {
  return createLibp2p({
    privateKey: await keyOf(seed),
    transports: [tcp(), webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), pubsub: gossipsub() }
  })
}

// shakeHands does the dialler's part of section 8.
async function shakeHands (channel) {
  const ack = await channel.call('handshake', { version: VERSION, families: [], role: 'foreign', name: 'js' }, 'handshake_ack')
  const { version, accepted, reason } = ack.payload
  if (accepted === false || version.split('.')[0] !== VERSION.split('.')[0]) throw new Error(`refused: ${reason}`)
  return ack.payload
}

async function ping (channel) {
  const sentAt = Date.now()
  const pong = await channel.call('ping', { sentAt }, 'pong')
  if (pong.payload.sentAt !== sentAt) throw new Error('the pong is for another ping')
  return { roundTripMs: Date.now() - sentAt, receivedAt: pong.payload.receivedAt }
}

// refusal returns the error of a request that has to fail.
async function refusal (work) {
  try {
    await work()
  } catch (err) {
    if (err instanceof SwarmError) return err.payload
    throw err
  }
  throw new Error('it was not refused')
}

// pushed waits for one message of the stats topic that worker signed.
async function pushed (node, worker) {
  const pubsub = node.services.pubsub
  const message = new Promise((resolve) => {
    pubsub.addEventListener('message', ({ detail }) => {
      if (detail.type === 'signed' && detail.topic === STATS_TOPIC && detail.from.toString() === worker) resolve(detail)
    })
  })
  pubsub.subscribe(STATS_TOPIC)
  const { data } = await message
  const m = decodeEnvelope(data)
  if (m.type !== 'stats' || m.sender !== worker || m.payload.node !== worker) throw new Error('the pushed message is not the signer\'s stats')
  return m.payload
}

// commandWorker does what a peer that is let in does.
async function commandWorker (node, address) {
  const self = node.peerId.toString()
  const connection = await node.dial(multiaddr(address))
  const worker = connection.remotePeer.toString()
  tell('dial', { address, worker })

  const lifecycle = await Channel.open(connection, self, LIFECYCLE)
  tell('handshake', { answer: await shakeHands(lifecycle) })
  tell('ping', await ping(lifecycle))
  const ops = await Channel.open(connection, self, OPS)
  const stats = (await ops.call('get_stats', {}, 'stats')).payload
  if (stats.node !== worker) throw new Error(`stats of ${stats.node}`)
  tell('get_stats', { payload: stats })
  tell('unknown type', { error: await refusal(() => ops.call('get_nonsense', {}, 'nonsense')) })
  tell('get_stats again', { payload: (await ops.call('get_stats', {}, 'stats')).payload })
  const logs = await Channel.open(connection, self, LOGS)
  tell('logs of none', {
    error: await refusal(async () => { for await (const item of logs.feed('get_logs', { name: 'none' }, 'logs')) tell('item', { item }) })
  })
  tell('pushed', { payload: await pushed(node, worker) })
  await (await Channel.open(connection, self, LIFECYCLE)).notice('disconnect', { code: 1, reason: 'done' })
  tell('disconnect')
  await connection.close()
}

// strangerTries does what a peer that is not let in does.
async function strangerTries (node, address) {
  const self = node.peerId.toString()
  const connection = await node.dial(multiaddr(address))
  const lifecycle = await Channel.open(connection, self, LIFECYCLE)
  tell('stranger handshake', { answer: await shakeHands(lifecycle) })
  const ops = await Channel.open(connection, self, OPS)
  tell('stranger', { error: await refusal(() => ops.call('start_miner', { miner: 'refpow' }, 'miner_ack')) })
  tell('stranger forges', {
    error: await refusal(() => {
      ops.self = connection.remotePeer.toString()
      return ops.call('get_stats', {}, 'stats')
    })
  })
  await connection.close()
}

async function withNode (seed, work) {
  const node = await newNode(seed)
  try {
    await work(node)
  } finally {
    await node.stop()
  }
}

async function main ([command, seed, stranger, ...addresses]) {
  if (command === 'id') {
    console.log(peerIdFromPrivateKey(await keyOf(seed)).toString())
    return
  }
  for (const address of addresses) {
    await withNode(seed, (node) => commandWorker(node, address))
    await withNode(stranger, (node) => strangerTries(node, address))
  }
  tell('done', { ok: true })
}

await main(process.argv.slice(2))
