// Many small senders: two hundred connections, ten events a request, each sent as soon as the last was answered.
//
//   k6 run -e KEY=tg_... [-e VUS=200] [-e BATCH=10] [-e DURATION=30s] [-e P99_MS=2000] load-tests/small-senders.js
//
// k6 itself takes more of the machine than the server here; for the figure see load-tests/compare, part `small`.

import { send } from './lib/client.js';
import { begin, conserved, end, timeouts } from './lib/conservation.js';
import { items, ndjson } from './lib/events.js';
import { duration, number } from './lib/settings.js';

export const options = Object.assign({}, timeouts, {
  scenarios: {
    small: {
      executor: 'constant-vus',
      vus: number('VUS', 200),
      duration: duration('DURATION', '30s'),
      gracefulStop: '60s',
    },
  },
  thresholds: Object.assign({}, conserved, {
    http_req_failed: ['rate==0'],
    acknowledged: [`p(99)<${number('P99_MS', 2000)}`],
  }),
});

const body = ndjson(items(0, number('BATCH', 10)));

export const setup = () => begin('small');

export default function small(run) {
  send(run, body);
}

export const teardown = (run) => end(run);
