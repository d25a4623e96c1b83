// Samples whose number is known, spread over some seconds so that each output sends several times.
import { sleep } from 'k6'
import exec from 'k6/execution'
import { Counter, Gauge, Trend } from 'k6/metrics'

const orders = new Counter('orders')
const depth = new Gauge('depth')
const wait = new Trend('wait')

const ALL = Number(__ENV.COUNT)

export const options = {
  scenarios: { all: { executor: 'shared-iterations', vus: 4, iterations: ALL, maxDuration: '10m' } },
  summaryTrendStats: ['count', 'min', 'max', 'avg'],
}

export default function () {
  const n = exec.scenario.iterationInTest
  orders.add(1, { shop: n % 2 ? 'north' : 'south' })
  depth.add(n)
  wait.add(n)
  sleep(0.02)
}

// Outputs that send now and then need not send once more at the end.
export function teardown() {
  sleep(4)
}

export function handleSummary(data) {
  const of = (name) => data.metrics[name].values
  return { stdout: JSON.stringify({ orders: of('orders').count, waits: of('wait').count }) + '\n' }
}
