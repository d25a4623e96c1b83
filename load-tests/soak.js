// A usual rate for a long time: always ready, buffers bounded, latency as at the start, everything kept.
//
//   k6 run -e KEY=tg_... [-e RATE=10000] [-e BATCH=500] [-e DURATION=30m] [-e P95_MS=250] [-e P99_MS=1000] [-e HELD_MIB=128] load-tests/soak.js
//
// HELD_MIB is the server's limits.memory_bytes. At its default rate a soak stores 18 million events.

import http from 'k6/http';
import { sleep } from 'k6';
import { Rate, Trend } from 'k6/metrics';
import { send } from './lib/client.js';
import { begin, conserved, end, timeouts } from './lib/conservation.js';
import { items, ndjson } from './lib/events.js';
import { duration, number, url } from './lib/settings.js';

const WATCH_S = 5;
const batch = number('BATCH', 500);
const length = duration('DURATION', '30m');
const ready = new Rate('ready');
const held = new Trend('body_mib_held');
const waiting = new Trend('requests_waiting');

export const options = Object.assign({}, timeouts, {
  scenarios: {
    soak: {
      executor: 'constant-arrival-rate',
      rate: number('RATE', 10000),
      timeUnit: `${batch}s`,
      duration: length,
      preAllocatedVUs: number('VUS', 50),
      gracefulStop: '60s',
    },
    watch: { executor: 'constant-vus', vus: 1, duration: length, exec: 'watch', gracefulStop: '30s' },
  },
  thresholds: Object.assign({}, conserved, {
    http_req_failed: ['rate==0'],
    ready: ['rate==1'],
    dropped_iterations: ['count==0'],
    acknowledged: [`p(95)<${number('P95_MS', 250)}`, `p(99)<${number('P99_MS', 1000)}`],
    body_mib_held: [`max<=${number('HELD_MIB', 128)}`],
  }),
});

const body = ndjson(items(0, batch));

export const setup = () => begin('soak');

export default function soak(run) {
  send(run, body);
}

export function watch() {
  ready.add(http.get(`${url}/readyz`, { tags: { name: '/readyz' } }).status === 200);
  const text = http.get(`${url}/metrics`, { tags: { name: '/metrics' } }).body;
  const gauge = (name) => {
    const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `));
    return line === undefined ? 0 : parseFloat(line.slice(name.length + 1));
  };
  held.add(gauge('tidegate_body_bytes_held') / 1048576);
  waiting.add(gauge('tidegate_requests_waiting'));
  sleep(WATCH_S);
}

export const teardown = (run) => end(run);
