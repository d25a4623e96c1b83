// Logs by pino and its transport pino-loki.
//
// Usage: loki.cjs URL KEY COUNT ROUNDS: in each round COUNT lines. Between two rounds it waits for a line on its
// standard input. The transport repeats nothing: what could not be sent it writes to standard error.
'use strict'
const pino = require('pino')
const { pinoLoki } = require('pino-loki')
const readline = require('node:readline')

const [url, key, count, rounds] = [process.argv[2], process.argv[3], Number(process.argv[4]), Number(process.argv[5])]

async function main() {
  const stream = pinoLoki({
    host: url,
    basicAuth: { username: 'tidegate', password: key },
    labels: { app: 'checkout', host: 'web-1' },
    batching: { interval: 0.2, maxBufferSize: 0 },
    timeout: 60_000,
  })
  const log = pino({ level: 'info' }, stream)
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  for (let turn = 0; turn < rounds; turn++) {
    if (turn > 0) {
      console.log(JSON.stringify({ round: turn, lines: turn * count }))
      await lines.next()
    }
    for (let n = turn * count; n < (turn + 1) * count; n++) {
      const level = n % 10 === 0 ? 'warn' : 'info'
      log[level]({ n, meta: { shop: n % 2 ? 'north' : 'south' } }, `line ${n}: größer "than" that`)
    }
  }
  stream.end()
  stream.on('close', () => {
    console.log(JSON.stringify({ round: rounds, lines: rounds * count }))
    process.exit(0)
  })
}

main()
