// Sends logs, spans and metrics by the OpenTelemetry SDK of Node.js, whose exporters are configured by its own
// variables.
//
// Usage: otel.cjs http|proto|grpc RUN COUNT ROUNDS, where http is JSON: in each round COUNT logs and COUNT spans, and
// one export of the metrics. Between two rounds it waits for a line on its standard input. At the end it prints how
// many of each were exported.
'use strict'
const { SpanStatusCode } = require('@opentelemetry/api')
const { logs, metrics, resources, tracing } = require('@opentelemetry/sdk-node')
const readline = require('node:readline')

const [kind, run, count, rounds] = [process.argv[2], process.argv[3], Number(process.argv[4]), Number(process.argv[5])]
const { OTLPLogExporter } = require(`@opentelemetry/exporter-logs-otlp-${kind}`)
const { OTLPTraceExporter } = require(`@opentelemetry/exporter-trace-otlp-${kind}`)
const { OTLPMetricExporter } = require(`@opentelemetry/exporter-metrics-otlp-${kind}`)

// Far longer than the reader needs: metrics are exported when a round ends.
const HOUR_MS = 3_600_000

const sent = { logs: 0, spans: 0, exports: 0 }
const failed = { ...sent }

/** Counts what an exporter says it has exported. */
function counted(exporter, name) {
  const send = exporter.export.bind(exporter)
  exporter.export = (batch, tell) =>
    send(batch, (result) => {
      const into = result.code === 0 ? sent : failed
      into[name] += name === 'exports' ? 1 : batch.length
      if (result.code !== 0) console.error(name, result.error)
      tell(result)
    })
  return exporter
}

async function main() {
  const resource = resources.resourceFromAttributes({
    'service.name': 'checkout',
    'host.name': 'web-1',
    'deployment.environment.name': 'trial',
  })
  const room = { maxQueueSize: count * rounds + 1, exportTimeoutMillis: 120_000 }
  const provider = new logs.LoggerProvider({
    resource,
    processors: [new logs.BatchLogRecordProcessor({ exporter: counted(new OTLPLogExporter(), 'logs'), ...room })],
  })
  const tracers = new tracing.BasicTracerProvider({
    resource,
    spanProcessors: [new tracing.BatchSpanProcessor(counted(new OTLPTraceExporter(), 'spans'), room)],
  })
  const reader = new metrics.PeriodicExportingMetricReader({
    exporter: counted(new OTLPMetricExporter(), 'exports'),
    exportIntervalMillis: HOUR_MS,
    exportTimeoutMillis: 120_000,
  })
  const meters = new metrics.MeterProvider({ resource, readers: [reader] })
  const [logger, tracer, meter] = [provider.getLogger('trial'), tracers.getTracer('trial'), meters.getMeter('trial')]
  const orders = meter.createCounter('orders', { unit: '1' })
  const latency = meter.createHistogram('latency', { unit: 'ms' })
  const depth = meter.createUpDownCounter('depth')
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()

  for (let turn = 0; turn < rounds; turn++) {
    if (turn > 0) {
      console.log(JSON.stringify({ round: turn, ...sent }))
      await lines.next()
    }
    for (let n = turn * count; n < (turn + 1) * count; n++) {
      const span = tracer.startSpan(`order ${n}`, { attributes: { run, n } })
      logger.emit({
        body: `order ${n} · größer`,
        severityNumber: n % 10 === 0 ? 13 : 9,
        severityText: n % 10 === 0 ? 'WARN' : 'INFO',
        attributes: { run, n, price: n / 4, paid: n % 2 === 0, tags: ['a', 'b'] },
      })
      if (n % 10 === 0) span.setStatus({ code: SpanStatusCode.ERROR, message: 'refused' })
      span.end()
      orders.add(1, { run, shop: n % 2 ? 'north' : 'south' })
      latency.record(n % 100, { run })
    }
    depth.add(7, { run })
    for (const one of [provider, tracers, meters]) await one.forceFlush()
  }
  for (const one of [provider, tracers, meters]) await one.shutdown()
  console.log(JSON.stringify({ round: rounds, ...sent, failed }))
  process.exit(0)
}

main()
