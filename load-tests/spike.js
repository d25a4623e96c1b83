// A spike of ten times the usual rate: meanwhile requests may be refused for the moment (429, 503) and are sent again,
// none is lost, and afterwards everything is as fast as before.
//
//   k6 run -e KEY=tg_... [-e RATE=5000] [-e PEAK=50000] [-e BATCH=500] [-e DURATION=15s] [-e P95_MS=250] load-tests/spike.js
//
// DURATION is that of each of the three phases; between the second and the third is a pause as long.

import http from 'k6/http';
import { send } from './lib/client.js';
import { begin, conserved, end, timeouts } from './lib/conservation.js';
import { items, ndjson } from './lib/events.js';
import { duration, number } from './lib/settings.js';

// Backpressure is an answer, not a failure.
http.setResponseCallback(http.expectedStatuses(200, 202, 429, 503));

const batch = number('BATCH', 500);
const rate = number('RATE', 5000);
const length = duration('DURATION', '15s');
const length_s = seconds(length);
const quick = [`p(95)<${number('P95_MS', 250)}`];

function seconds(text) {
  const units = { h: 3600, m: 60, s: 1, ms: 0.001 };
  return [...text.matchAll(/([0-9]+)(ms|h|m|s)/g)].reduce((sum, [, count, unit]) => sum + count * units[unit], 0);
}

function phase(eventsPerSecond, vus, startTime_s) {
  return {
    executor: 'constant-arrival-rate',
    rate: eventsPerSecond,
    timeUnit: `${batch}s`,
    duration: length,
    startTime: `${Math.ceil(startTime_s)}s`,
    preAllocatedVUs: vus,
    gracefulStop: '120s',
  };
}

export const options = Object.assign({}, timeouts, {
  scenarios: {
    before: phase(rate, 20, 0),
    spike: phase(number('PEAK', 10 * rate), number('VUS', 200), length_s),
    after: phase(rate, 20, 3 * length_s),
  },
  thresholds: Object.assign({}, conserved, {
    http_req_failed: ['rate==0'],
    'acknowledged{scenario:before}': quick,
    'acknowledged{scenario:after}': quick,
    'dropped_iterations{scenario:before}': ['count==0'],
    'dropped_iterations{scenario:after}': ['count==0'],
  }),
});

const body = ndjson(items(0, batch));

export const setup = () => begin('spike');

export default function spike(run) {
  send(run, body);
}

export const teardown = (run) => end(run);
