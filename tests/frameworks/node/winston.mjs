// winston with OpenTelemetry's transport, configured by nothing but the environment: what a process
// under PM2 does.
//
//   node winston.mjs <mark>
import { logs } from '@opentelemetry/api-logs';
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-proto';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import { OpenTelemetryTransportV3 } from '@opentelemetry/winston-transport';
import { detectResources, envDetector } from '@opentelemetry/resources';
import winston from 'winston';

const provider = new LoggerProvider({
  resource: detectResources({ detectors: [envDetector] }),
  processors: [new BatchLogRecordProcessor({ exporter: new OTLPLogExporter() })],
});
logs.setGlobalLoggerProvider(provider);
const logger = winston.createLogger({ transports: [new OpenTelemetryTransportV3()] });
logger.error(`${process.argv[2]}: login failed with password=correct-horse-battery`);
await provider.forceFlush();
await provider.shutdown();
