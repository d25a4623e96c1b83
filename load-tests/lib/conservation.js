// Begins a run, and ends it by looking for every item that the server promised to keep: in its books (/metrics), and in
// its tables (GET /v1/events/counts). Its tenants must have no other senders meanwhile.

import http from 'k6/http';
import { sleep } from 'k6';
import { headers, unaccounted } from './client.js';
import { keys, url } from './settings.js';

const ACCOUNTS = {
  received: 'received_total',
  recovered: 'recovered_from_spool_total',
  committed: 'committed_total',
  deadLettered: 'dead_lettered_total',
  deduplicated: 'deduplicated_total',
  refused: 'refused_total',
  inFlight: 'in_flight',
  spooled: 'spooled',
};
// For a spool to drain, in seconds.
const SETTLE_S = 150;

// What every script's options have in common.
export const timeouts = { setupTimeout: '60s', teardownTimeout: '180s' };
export const conserved = {
  unaccounted_events: ['count==0'],
  unaccounted_committed: ['count==0'],
  unaccounted_dead_letters: ['count==0'],
  unaccounted_received: ['count<=0'],
  unaccounted_books: ['count==0'],
  request_failed: ['rate==0'],
};

function ask(path, key) {
  const response = http.get(`${url}${path}`, { headers: key ? headers(key) : {}, tags: { name: path.split('?')[0] } });
  if (response.status !== 200) {
    throw new Error(`GET ${path} was answered ${response.status}: ${String(response.body).slice(0, 300)}`);
  }
  return response;
}

// Sums of the tenants' accounts; of everybody's when there are too many tenants for one of them to have its own.
function books(tenants) {
  const lines = ask('/metrics').body.split('\n');
  const sum = (account, wanted) => {
    const values = wanted.map((name) => {
      const line = lines.find((text) => text.startsWith(`${name} `));
      return line === undefined ? 0 : parseFloat(line.slice(name.length + 1));
    });
    return values.reduce((total, value) => total + value, 0);
  };
  const named = tenants.every((tenant) => lines.some((text) => text.startsWith('tidegate_tenant_items_received_total{') && text.includes(`"${tenant}"`)));
  const found = {};
  for (const [account, name] of Object.entries(ACCOUNTS)) {
    const metrics = named ? tenants.map((tenant) => `tidegate_tenant_items_${name}{tenant="${tenant}"}`) : [`tidegate_items_${name}`];
    found[account] = sum(account, metrics);
  }
  return found;
}

function balance(found) {
  const { received, recovered, committed, deadLettered, deduplicated, refused, inFlight, spooled } = found;
  return received + recovered - (committed + deadLettered + deduplicated + refused + inFlight + spooled);
}

// The tenant of a key: that of an event which is sent with it.
function tenantOf(key, name) {
  const event = JSON.stringify({ event_type: 'k6.begin', source_module: name, payload: {} });
  const sent = http.post(`${url}/v1/events`, event, { headers: headers(key, { 'Content-Type': 'application/json' }) });
  if (sent.status === 0) {
    throw new Error(`nothing answers at ${url} (${sent.error}): start one with make run, or name another by -e URL=...`);
  }
  if (sent.status !== 200 && sent.status !== 202) {
    throw new Error(`the key cannot be used: ${sent.status} ${sent.body}`);
  }
  for (let waited_s = 0; waited_s < 30; waited_s += 1) {
    const found = ask(`/v1/events?source_module=${name}&from=-1h&limit=1`, key).json('data');
    if (found.length > 0) {
      return found[0].tenant_id;
    }
    sleep(1);
  }
  throw new Error('an event that was sent cannot be read after 30 s');
}

// To be called by setup(): what the virtual users and end() need to know.
export function begin(test) {
  unaccounted.books.add(1);
  const name = `k6-${test}-${Date.now().toString(36)}${Math.floor(Math.random() * 1e6).toString(36)}`;
  const byTenant = {};
  for (const key of keys) {
    byTenant[tenantOf(key, `${name}-begin`)] = key;
  }
  const tenants = Object.keys(byTenant);
  return { name, keys, byTenant, tenants, before: books(tenants) };
}

// To be called by teardown().
export function end(run) {
  let after = books(run.tenants);
  for (let waited_s = 0; waited_s < SETTLE_S && after.inFlight + after.spooled > 0; waited_s += 0.5) {
    sleep(0.5);
    after = books(run.tenants);
  }
  let stored = 0;
  for (const key of Object.values(run.byTenant)) {
    const counts = ask(`/v1/events/counts?source_module=${run.name}&from=-7d`, key).json('data');
    stored += counts.reduce((total, group) => total + group.count, 0);
  }
  const grown = (account) => after[account] - run.before[account];
  unaccounted.events.add(-stored);
  unaccounted.committed.add(-grown('committed'));
  unaccounted.dead_letters.add(-grown('deadLettered'));
  unaccounted.received.add(-grown('received'));
  const off = balance(after);
  if (off === 0 && after.inFlight + after.spooled === 0) {
    unaccounted.books.add(-1);
  }
  console.log(`${run.name}: ${stored} events stored; books ${JSON.stringify(after)}, off by ${off}`);
}
