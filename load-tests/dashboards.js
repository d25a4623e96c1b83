// The reads of dashboards, mixed, by several clients at once: recent events of an asset, a metric by the hour, the latest, a
// correlation id, counts by type, what is related to an event, the series that there are. Each has a threshold of its own,
// and no read may be answered with an error.
//
//   k6 run -e KEY=tg_... [-e VUS=16] [-e DURATION=30s] [-e ROWS=5000] [-e P95_MS=250] [-e P95_MS_HOURLY=50] load-tests/dashboards.js
//
// ROWS events and as many samples are sent first for each key, so that there is something to read; ROWS=0 reads what is
// there. P95_MS is of each read, and P95_MS_RECENT, _HOURLY, _LATEST, _CORRELATION, _COUNTS, _RELATED, _CATALOG of one.
// For figures of many millions of rows see load-tests/compare, part `dashboards`.

import http from 'k6/http';
import { check, sleep } from 'k6';
import { headers } from './lib/client.js';
import { items, ndjson } from './lib/events.js';
import { samples } from './lib/metrics.js';
import { duration, keys, number, url } from './lib/settings.js';

const BATCH = 500;
// So many events share a correlation id.
const GROUP = 5;
// For what was sent to be readable, in seconds.
const READABLE_S = 30;

const READS = {
  recent: (known) => `/v1/events?asset_id=${pick(known.assets)}&from=-24h&limit=100`,
  hourly: (known) => {
    const series = pick(known.series);
    return `/v1/metrics?metric_name=${series.metric_name}&asset_id=${series.asset_id}&resolution=1h&from=-7d`;
  },
  latest: () => '/v1/events?limit=100',
  correlation: (known) => `/v1/events?correlation_id=${pick(known.correlations)}`,
  counts: () => '/v1/events/counts?group_by=event_type&bucket=1h&from=-24h',
  related: (known) => `/v1/events/${pick(known.ids)}/related`,
  catalog: () => '/v1/metrics/catalog?limit=100',
};

const rows = __ENV.ROWS === '0' ? 0 : number('ROWS', 5000);
const p95_ms = number('P95_MS', 250);
const thresholds = { checks: ['rate==1'], http_req_failed: ['rate==0'] };
for (const name of Object.keys(READS)) {
  thresholds[`http_req_duration{name:${name}}`] = [`p(95)<${number(`P95_MS_${name.toUpperCase()}`, p95_ms)}`];
}

export const options = {
  setupTimeout: '180s',
  scenarios: {
    dashboards: {
      executor: 'constant-vus',
      vus: number('VUS', 16),
      duration: duration('DURATION', '30s'),
      gracefulStop: '60s',
    },
  },
  thresholds,
};

function pick(list) {
  return list[Math.floor(Math.random() * list.length)];
}

function ask(path, key, name) {
  return http.get(`${url}${path}`, { headers: headers(key), tags: { name } });
}

function send(path, list, key) {
  const body = ndjson(list);
  const sent = http.post(`${url}${path}`, body.text, { headers: headers(key, { 'Content-Type': body.contentType }), tags: { name: 'setup' } });
  if (sent.status !== 200 && sent.status !== 202) {
    throw new Error(`POST ${path} was answered ${sent.status}: ${String(sent.body).slice(0, 300)}`);
  }
}

function uuid() {
  const hex = (digits) => Array.from({ length: digits }, () => Math.floor(Math.random() * 16).toString(16)).join('');
  return `${hex(8)}-${hex(4)}-4${hex(3)}-a${hex(3)}-${hex(12)}`;
}

// What a key's tenant has: what is asked for must be there.
function look(key) {
  const list = (path) => {
    const found = ask(path, key, 'setup');
    if (found.status !== 200) {
      throw new Error(`GET ${path} was answered ${found.status}: ${String(found.body).slice(0, 300)}`);
    }
    return found.json('data');
  };
  const events = list('/v1/events?from=-24h&limit=1000');
  const distinct = (field) => [...new Set(events.map((event) => event[field]).filter((value) => value))];
  return {
    key,
    assets: distinct('asset_id'),
    correlations: distinct('correlation_id'),
    ids: distinct('id'),
    // What was sent is known before the list of series has it.
    series: rows > 0 ? samples(0, rows) : list('/v1/metrics/catalog?limit=1000'),
  };
}

export function setup() {
  return keys.map((key) => {
    for (let first = 0; first < rows; first += BATCH) {
      const events = items(first, Math.min(BATCH, rows - first));
      let correlation = uuid();
      events.forEach((event, n) => {
        correlation = n % GROUP === 0 ? uuid() : correlation;
        event.correlation_id = correlation;
        event.source_module = 'k6-dashboards';
      });
      send('/v1/events', events, key);
      send('/v1/metrics', samples(first, Math.min(BATCH, rows - first)), key);
    }
    let known = look(key);
    const complete = () => [known.assets, known.correlations, known.ids, known.series].every((list) => list.length > 0);
    for (let waited_s = 0; waited_s < READABLE_S && !complete(); waited_s += 1) {
      sleep(1);
      known = look(key);
    }
    if (!complete()) {
      throw new Error('there is nothing to read: no events with asset and correlation id of the last 24 hours, or no series; leave ROWS at its default');
    }
    return known;
  });
}

export default function dashboards(tenants) {
  const known = pick(tenants);
  const name = pick(Object.keys(READS));
  const answer = ask(READS[name](known), known.key, name);
  check(answer, { [`${name} is answered`]: (r) => r.status === 200 && r.body.length > 0 });
}
