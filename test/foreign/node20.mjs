// js-libp2p uses Promise.withResolvers, which Node.js has from version 22 on.

Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new Promise((res, rej) => { resolve = res; reject = rej })
  return { promise, resolve, reject }
}
