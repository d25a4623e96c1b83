// A steady rate that the service takes with ease: nothing is refused, nothing waits long, everything is kept. Requests are
// sent by the clock, whatever the answers do.
//
//   k6 run -e KEY=tg_... [-e RATE=10000] [-e BATCH=500] [-e DURATION=60s] [-e P95_MS=250] [-e P99_MS=1000] load-tests/steady.js
//
// RATE is in events a second, BATCH in events a request.

import { send } from './lib/client.js';
import { begin, conserved, end, timeouts } from './lib/conservation.js';
import { items, ndjson } from './lib/events.js';
import { duration, number } from './lib/settings.js';

const batch = number('BATCH', 500);

export const options = Object.assign({}, timeouts, {
  scenarios: {
    steady: {
      executor: 'constant-arrival-rate',
      // RATE / BATCH requests a second, without a fraction being lost.
      rate: number('RATE', 10000),
      timeUnit: `${batch}s`,
      duration: duration('DURATION', '60s'),
      preAllocatedVUs: number('VUS', 50),
      gracefulStop: '60s',
    },
  },
  thresholds: Object.assign({}, conserved, {
    http_req_failed: ['rate==0'],
    dropped_iterations: ['count==0'],
    acknowledged: [`p(95)<${number('P95_MS', 250)}`, `p(99)<${number('P99_MS', 1000)}`],
  }),
});

const body = ndjson(items(0, batch));

export const setup = () => begin('steady');

export default function steady(run) {
  send(run, body);
}

export const teardown = (run) => end(run);
