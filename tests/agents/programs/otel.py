"""Sends logs, spans and metrics by the OpenTelemetry SDK, whose exporters are configured by its own variables.

Usage: otel.py http|grpc RUN COUNT ROUNDS: in each round COUNT logs and COUNT spans, and one export of the metrics.
Between two rounds it waits for a line on its standard input. At the end it prints how many of each were exported, as
JSON.
"""

import json
import logging
import sys

from opentelemetry import metrics, trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

if sys.argv[1] == "grpc":
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
else:
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

# Far longer than the reader needs: metrics are exported when a round ends.
HOUR_MS = 3_600_000
FLUSH_MS = 120_000


def counted(exporter, sent, name, failed):
    """Counts what an exporter says it has exported."""
    export = exporter.export

    def count(batch, *arguments, **named):
        result = export(batch, *arguments, **named)
        (sent if result.name == "SUCCESS" else failed)[name] += 1 if name == "exports" else len(batch)
        return result

    exporter.export = count
    return exporter


def main():
    run, count, rounds = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    sent = {"logs": 0, "spans": 0, "exports": 0}
    failed = dict(sent)
    resource = Resource.create(
        {"service.name": "checkout", "host.name": "web-1", "deployment.environment.name": "trial"}
    )

    logs = LoggerProvider(resource=resource)
    logs.add_log_record_processor(
        BatchLogRecordProcessor(counted(OTLPLogExporter(), sent, "logs", failed), max_queue_size=count * rounds + 1)
    )
    spans = TracerProvider(resource=resource)
    spans.add_span_processor(
        BatchSpanProcessor(counted(OTLPSpanExporter(), sent, "spans", failed), max_queue_size=count * rounds + 1)
    )
    reader = PeriodicExportingMetricReader(
        counted(OTLPMetricExporter(), sent, "exports", failed), export_interval_millis=HOUR_MS
    )
    meters = MeterProvider(resource=resource, metric_readers=[reader])
    logger, tracer, meter = logs.get_logger("trial"), spans.get_tracer("trial"), meters.get_meter("trial")
    orders = meter.create_counter("orders", unit="1")
    latency = meter.create_histogram("latency", unit="ms")
    depth = meter.create_up_down_counter("depth")

    for turn in range(rounds):
        if turn > 0:
            print(json.dumps({"round": turn, **sent}), flush=True)
            sys.stdin.readline()
        for n in range(turn * count, (turn + 1) * count):
            with tracer.start_as_current_span(f"order {n}", attributes={"run": run, "n": n}):
                logger.emit(
                    LogRecord(
                        body=f"order {n} · größer",
                        severity_number=SeverityNumber.WARN if n % 10 == 0 else SeverityNumber.INFO,
                        severity_text="WARN" if n % 10 == 0 else "INFO",
                        attributes={"run": run, "n": n, "price": n / 4, "paid": n % 2 == 0, "tags": ["a", "b"]},
                    )
                )
            orders.add(1, {"run": run, "shop": "north" if n % 2 else "south"})
            latency.record(n % 100, {"run": run})
        depth.add(7, {"run": run})
        for provider in (logs, spans, meters):
            provider.force_flush(FLUSH_MS)
    for provider in (logs, spans, meters):
        provider.shutdown()
    print(json.dumps({"round": rounds, **sent, "failed": failed}), flush=True)


main()
