"""A process on the host with OpenTelemetry's own SDK, configured by nothing but the environment
(opentelemetry.io, "Environment variable specification"): it logs, counts and traces.

    python -P tests/frameworks/telemetry.py <mark>
"""

import logging
import sys

from opentelemetry import metrics, trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def main(mark: str) -> None:
    """Prints the trace's id."""
    logs, traces = LoggerProvider(), TracerProvider()
    meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    set_logger_provider(logs)
    trace.set_tracer_provider(traces)
    metrics.set_meter_provider(meters)

    logger = logging.getLogger("worker")
    logger.setLevel(logging.INFO)
    logger.addHandler(LoggingHandler(logger_provider=logs))
    with trace.get_tracer("worker").start_as_current_span("job") as span:
        logger.error("%s: login failed with password=correct-horse-battery", mark)
        metrics.get_meter("worker").create_counter("events").add(
            3, {"name": mark, "status": "error"}
        )
        print(format(span.get_span_context().trace_id, "032x"))
    for provider in (logs, meters, traces):
        provider.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
