// Sending, until a request is answered for good, and the books of it: what was sent, and what became of it.

import http from 'k6/http';
import { sleep } from 'k6';
import exec from 'k6/execution';
import { Counter, Rate, Trend } from 'k6/metrics';
import { url } from './settings.js';

const ATTEMPTS_MAX = 100;
const PAUSE_MIN_S = 0.05;
const PAUSE_MAX_S = 2;
// Answers after which the same request is sent again, under the same key: nothing of it was stored, or it is not known.
const AGAIN = [0, 408, 409, 425, 429, 500, 502, 503, 504];

export const itemsSent = new Counter('items_sent');
export const itemsAccepted = new Counter('items_accepted');
export const itemsRejected = new Counter('items_rejected');
export const itemsSpooled = new Counter('items_spooled');
export const retries = new Counter('retries');
// From a request's first attempt to its answer for good, in milliseconds: what a sender waits.
export const acknowledged = new Trend('acknowledged', true);
// Requests that were refused for good, or not answered in all attempts.
export const requestFailed = new Rate('request_failed');

// Each must be 0 in the end. The virtual users add what they were promised, teardown takes away what it finds; a run
// whose teardown did not come to an end stays above 0.
export const unaccounted = {
  // Items answered as accepted that GET /v1/events/counts does not find; below 0: found more than once.
  events: new Counter('unaccounted_events'),
  // The same by the server's own count of committed items.
  committed: new Counter('unaccounted_committed'),
  // Items answered as rejected that are no dead letters.
  dead_letters: new Counter('unaccounted_dead_letters'),
  // Items sent that the server does not know to have received.
  received: new Counter('unaccounted_received'),
  // 1 until the server's books were found to balance.
  books: new Counter('unaccounted_books'),
};

export function headers(key, more = {}) {
  return Object.assign({ Authorization: `Bearer ${key}` }, more);
}

// Sends `body` as events of this run, or as samples with `path: '/v1/metrics'`, again and again until it is answered for
// good. Returns the answer, or null.
export function send(run, body, options = {}) {
  const number = exec.scenario.iterationInTest;
  const key = options.key || run.keys[number % run.keys.length];
  const path = options.path || '/v1/events';
  const areEvents = path === '/v1/events';
  const idempotencyKey = options.idempotencyKey || `${run.name}${areEvents ? '' : path}-${exec.scenario.name}-${number}`;
  const params = {
    headers: headers(key, { 'Content-Type': body.contentType, 'Idempotency-Key': idempotencyKey }),
    tags: { name: `POST ${path}` },
    timeout: '60s',
  };
  if (options.compression) {
    params.compression = options.compression;
  }
  const started = Date.now();
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const response = http.post(`${url}${path}${areEvents ? `?source_module=${run.name}` : ''}`, body.text, params);
    if (!AGAIN.includes(response.status)) {
      acknowledged.add(Date.now() - started);
      return enter(response, body, options.again === true, areEvents);
    }
    retries.add(1);
    const asked = parseFloat(response.headers['Retry-After']) || PAUSE_MIN_S * 2 ** attempt;
    sleep(Math.min(Math.max(asked, PAUSE_MIN_S), PAUSE_MAX_S) * (0.9 + 0.2 * Math.random()));
  }
  requestFailed.add(true);
  console.error(`a request was not answered for good in ${ATTEMPTS_MAX} attempts`);
  return null;
}

// Enters an answer into the books, once for each request: `again` is for one that was entered before.
function enter(response, body, again, areEvents) {
  let answer = null;
  try {
    answer = response.json();
  } catch (error) {
    answer = null;
  }
  const counted = answer !== null && answer.accepted + answer.rejected === body.items;
  requestFailed.add(!counted);
  if (!counted) {
    console.error(`${body.items} items were answered ${response.status}: ${String(response.body).slice(0, 300)}`);
    return null;
  }
  if (!again) {
    itemsSent.add(body.items);
    itemsAccepted.add(answer.accepted);
    itemsRejected.add(answer.rejected);
    itemsSpooled.add(answer.status === 'spooled' ? answer.accepted : 0);
    unaccounted.events.add(areEvents ? answer.accepted : 0);
    unaccounted.committed.add(answer.accepted);
    unaccounted.dead_letters.add(answer.rejected);
    unaccounted.received.add(body.items);
  }
  return answer;
}
