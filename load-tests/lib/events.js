// Bodies of generated events. They are made once for each virtual user: a script engine that makes them while it sends
// would measure itself. Ids and timestamps are left to the server, so that no two rows are the same; source_module comes
// in the query, because it names the run.

const TYPES = ['http.request.completed', 'auth.session.opened', 'order.created', 'queue.job.retried'];

function event(n) {
  return {
    event_type: TYPES[n % TYPES.length],
    severity: n % 29 === 0 ? 'error' : 'info',
    asset_id: `asset-${String((n * 7919) % 2000).padStart(5, '0')}`,
    payload: {
      method: 'POST',
      path: `/v1/orders/${(n * 104729) % 1000000}`,
      status: n % 29 === 0 ? 503 : 200,
      latency_ms: ((n * 31) % 250000) / 1000,
      region: 'eu-central-1',
      message: 'order accepted and reserved in the warehouse',
    },
  };
}

// An item that is refused by itself: it has no payload.
function broken(n) {
  return { event_type: TYPES[n % TYPES.length], asset_id: `broken-${n}` };
}

// `count` events from number `first` on; the last `refused` of them are broken.
export function items(first, count, refused = 0) {
  return Array.from({ length: count }, (_, n) => (n < count - refused ? event(first + n) : broken(first + n)));
}

export function ndjson(list) {
  return { contentType: 'application/x-ndjson', text: list.map((item) => JSON.stringify(item)).join('\n') + '\n', items: list.length };
}

export function json(list) {
  return { contentType: 'application/json', text: JSON.stringify(list), items: list.length };
}
