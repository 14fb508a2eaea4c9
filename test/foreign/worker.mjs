// A worker of swarm on js-libp2p, which knows what docs/protocol.md says. It
// answers handshakes, pings and get_stats, and says no to everything else.
//
//   node worker.mjs SEED       prints its address, and works until it is killed

import './node20.mjs'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { Frames, encodeFrame, envelope } from './wire.mjs'

const WINDOW_MS = 10 * 60 * 1000

const node = await createLibp2p({
  privateKey: await generateKeyPairFromSeed('Ed25519', Buffer.from(process.argv[2], 'hex')),
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify() }
})
const self = node.peerId.toString()
const boot = Date.now()
let seq = 0

const families = {
  lifecycle: {
    handshake: ({ version }) => ['handshake_ack', {
      version: '1.0.0',
      families: Object.keys(families).map((name) => ({ name, versions: ['1.0.0'] })),
      role: 'worker',
      name: 'js',
      accepted: version.split('.')[0] === '1'
    }],
    ping: ({ sentAt }) => ['pong', { sentAt, receivedAt: Date.now() }],
    disconnect: () => null
  },
  ops: {
    get_stats: () => ['stats', {
      node: self,
      name: 'js',
      uptimeSeconds: (Date.now() - boot) / 1000,
      host: { cpuPercent: null, load1: null, memTotal: null, memUsed: null, diskTotal: null, diskUsed: null },
      workloads: [],
      seq: ++seq,
      boot
    }],
    start_miner: () => fault(403, 'this worker takes no commands')
  }
}

function fault (code, message) { return ['error', { code, message, timestamp: Date.now() }] }

// clocks are how far each connection's peer is ahead of us.
const clocks = new WeakMap()

// answer is the guard of section 5, and the work.
function answer (types, m, connection) {
  if (m.sender !== connection.remotePeer.toString()) return fault(401, 'the sender is not the peer of this connection')
  const ahead = Date.parse(m.timestamp) - Date.now()
  if (m.type === 'handshake') clocks.set(connection, ahead)
  if (Math.abs(ahead - (clocks.get(connection) ?? 0)) > WINDOW_MS) return fault(400, 'the timestamp is too far off')
  if (!Object.hasOwn(types, m.type)) return fault(501, `type ${m.type} is not known here`)
  if (m.payload === undefined || m.payload === null) return fault(400, 'the payload is missing')
  return types[m.type](m.payload)
}

async function serve (types, stream, connection) {
  const frames = new Frames(stream)
  for (;;) {
    let m
    try {
      m = await frames.next()
    } catch (err) {
      stream.send(encodeFrame(envelope(self, ...fault(400, err.message))))
      break
    }
    if (m === null) break
    const reply = answer(types, m, connection)
    if (reply !== null) stream.send(encodeFrame({ ...envelope(self, ...reply), replyTo: m.id }))
  }
  await stream.close()
}

for (const [name, types] of Object.entries(families)) {
  await node.handle(`/swarm/${name}/1.0.0`, (stream, connection) => {
    serve(types, stream, connection).catch((err) => stream.abort(err))
  })
}
console.log(node.getMultiaddrs()[0].toString())
