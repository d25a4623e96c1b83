// Generated samples of metrics. Their time is left to the server: it is that of the request.

const NAMES = ['latency', 'cpu', 'memory'];

// `count` samples from number `first` on, of the same assets as the events.
export function samples(first, count) {
  return Array.from({ length: count }, (_, n) => ({
    asset_id: asset(first + n),
    metric_type: 'gauge',
    metric_name: NAMES[(first + n) % NAMES.length],
    value: (((first + n) * 31) % 250000) / 1000,
  }));
}

function asset(n) {
  return `asset-${String((n * 7919) % 2000).padStart(5, '0')}`;
}
