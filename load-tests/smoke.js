// Does it work at all: every form of a body, compressed or not, items that are refused, requests sent twice, metrics, and
// reads, at a low rate. A minute is plenty; thresholds are those of a service that is not under load.
//
//   k6 run -e KEY=tg_... [-e URL=http://127.0.0.1:8080] [-e DURATION=10s] [-e VUS=4] [-e P95_MS=500] load-tests/smoke.js

import http from 'k6/http';
import { check } from 'k6';
import exec from 'k6/execution';
import { headers, send } from './lib/client.js';
import { begin, conserved, end, timeouts } from './lib/conservation.js';
import { items, json, ndjson } from './lib/events.js';
import { samples } from './lib/metrics.js';
import { duration, number, url } from './lib/settings.js';

export const options = Object.assign({}, timeouts, {
  scenarios: {
    smoke: { executor: 'constant-vus', vus: number('VUS', 4), duration: duration('DURATION', '10s'), gracefulStop: '60s' },
  },
  thresholds: Object.assign({}, conserved, {
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    acknowledged: [`p(95)<${number('P95_MS', 500)}`],
  }),
});

const one = json(items(0, 1));
one.text = JSON.stringify(items(0, 1)[0]);
const bodies = [
  { body: one },
  { body: json(items(1, 100)) },
  { body: ndjson(items(101, 100)) },
  { body: ndjson(items(201, 100)), compression: 'gzip' },
  { body: json(items(301, 100)), compression: 'zstd' },
  { body: ndjson(items(401, 50, 3)) },
];

const measured = ndjson(samples(0, 100));

export const setup = () => begin('smoke');

export default function smoke(run) {
  const { body, compression } = bodies[exec.scenario.iterationInTest % bodies.length];
  const answer = send(run, body, { compression });
  check(answer, { 'answered with a receipt': (a) => a !== null && /^[0-9a-f-]{36}$/.test(a.receipt) });
  if (answer === null) {
    return;
  }
  const again = send(run, body, { compression, again: true });
  check(again, {
    'the same request again is a duplicate': (a) => a !== null && a.duplicate === true,
    'and is answered as before': (a) => a !== null && a.receipt === answer.receipt && a.accepted === answer.accepted,
  });
  const key = run.keys[exec.scenario.iterationInTest % run.keys.length];
  const ask = (path) => http.get(`${url}${path}`, { headers: headers(key), tags: { name: path.split('?')[0] } });
  check(ask(`/v1/events?source_module=${run.name}&from=-1h&limit=5`), {
    'events can be read': (r) => r.status === 200 && r.json('data').length > 0,
  });
  const sent = send(run, measured, { path: '/v1/metrics' });
  check(sent, { 'samples are answered alike': (a) => a !== null && a.accepted === 100 && a.rejected === 0 });
  const { asset_id: asset, metric_name: name } = samples(0, 1)[0];
  check(ask(`/v1/metrics?metric_name=${name}&asset_id=${asset}&from=-1h`), {
    'samples can be read': (r) => r.status === 200 && r.json('data').length > 0,
  });
  check(http.get(`${url}/v1/receipts/${answer.receipt}`, { headers: headers(key), tags: { name: '/v1/receipts/{id}' } }), {
    'the receipt can be read': (r) => r.status === 200 && r.json('accepted') === answer.accepted,
  });
  check(ask('/readyz'), { 'it is ready': (r) => r.status === 200 });
}

export const teardown = (run) => end(run);
