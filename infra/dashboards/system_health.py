"""Health, usage and remaining capacity."""

from infra.dashboards.model import INTERVAL, Board, Query, Row, panel, quantile, rate

_CPU = (
    f'sum by (host) (rate(node_cpu_seconds_total{{mode!="idle"}}[{INTERVAL}])) / sum by (host)'
    f" (rate(node_cpu_seconds_total[{INTERVAL}]))"
)
_DISK = 'device!~"(loop|ram|dm-).*"'

BOARD = Board(
    "system-health",
    "System Health",
    "Whether everything is running, and which resources are running out: memory, CPU, disk.",
    (
        Row(
            "At a glance",
            (
                panel(
                    "Services up",
                    "Services whose own endpoint or exporter answers.",
                    "percentunit",
                    'avg(up{role="service"})',
                    kind="stat",
                    width=4,
                    height=4,
                    warn=1,
                    alarm=0.99,
                ),
                panel(
                    "Targets up",
                    "Everything that Prometheus scrapes, including applications.",
                    "percentunit",
                    "avg(up)",
                    kind="stat",
                    width=4,
                    height=4,
                    warn=1,
                    alarm=0.9,
                ),
                panel(
                    "Alerts",
                    "Alerts firing now, including the dead man's switch, which always fires.",
                    "short",
                    'sum(ALERTS{alertstate="firing"})',
                    kind="stat",
                    width=4,
                    height=4,
                    warn=2,
                    alarm=5,
                ),
                panel(
                    "Host memory",
                    "Share of the host's memory in use.",
                    "percentunit",
                    Query(
                        "1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes",
                        "{{host}}",
                    ),
                    kind="gauge",
                    width=4,
                    height=4,
                    warn=0.8,
                    alarm=0.9,
                    maximum=1,
                ),
                panel(
                    "Host CPU",
                    "Share of the host's cores in use.",
                    "percentunit",
                    Query(_CPU, "{{host}}"),
                    kind="gauge",
                    width=4,
                    height=4,
                    warn=0.8,
                    alarm=0.95,
                    maximum=1,
                ),
                panel(
                    "Fullest volume",
                    "Free space on the fullest volume.",
                    "percentunit",
                    "min(groundwork:storage_available:ratio)",
                    kind="gauge",
                    width=4,
                    height=4,
                    warn=0.2,
                    alarm=0.1,
                    maximum=1,
                ),
            ),
        ),
        Row(
            "Services",
            (
                panel(
                    "Up",
                    "1 if it answers, 0 if not.",
                    "short",
                    Query("min by (service, role) (up)", "{{service}} ({{role}})"),
                    maximum=1,
                    width=12,
                ),
                panel(
                    "Uptime",
                    "A drop to zero is a restart.",
                    "s",
                    "time() - groundwork:container_start_time_seconds",
                    width=12,
                ),
            ),
        ),
        Row(
            "Containers",
            (
                panel(
                    "Memory usage vs. limit",
                    "At 1 the kernel kills a process.",
                    "percentunit",
                    "groundwork:container_memory:ratio",
                    warn=0.8,
                    alarm=0.9,
                    maximum=1,
                ),
                panel(
                    "Memory",
                    "Memory that the kernel cannot reclaim (working set).",
                    "bytes",
                    'sum by (service) (container_memory_working_set_bytes{service!=""})',
                    stack=True,
                ),
                panel(
                    "CPU",
                    "Cores in use.",
                    "short",
                    "groundwork:container_cpu_cores:rate5m",
                    stack=True,
                ),
                panel(
                    "OOM kills",
                    "Processes killed by the kernel for lack of memory, in the last hour.",
                    "short",
                    'sum by (service) (increase(container_oom_events_total{service!=""}[1h]))',
                ),
                panel(
                    "Restarts",
                    "Starts beyond the first, in the last hour.",
                    "short",
                    "changes(groundwork:container_start_time_seconds[1h])",
                ),
                panel(
                    "Network",
                    "Bytes received and sent.",
                    "Bps",
                    Query(
                        rate(
                            "container_network_receive_bytes_total",
                            "service",
                            where='{service!=""}',
                        ),
                        "{{service}} in",
                    ),
                    Query(
                        rate(
                            "container_network_transmit_bytes_total",
                            "service",
                            where='{service!=""}',
                        ),
                        "{{service}} out",
                    ),
                ),
            ),
            "containers",
        ),
        Row(
            "Host",
            (
                panel(
                    "Memory",
                    "Used and available.",
                    "bytes",
                    Query(
                        "node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes",
                        "used {{host}}",
                    ),
                    Query("node_memory_MemAvailable_bytes", "available {{host}}"),
                    stack=True,
                ),
                panel(
                    "Network of the host",
                    "Bytes received and sent by its own cards.",
                    "Bps",
                    Query(
                        rate("host_network_receive_bytes_total", "host", "interface"),
                        "{{host}} {{interface}} in",
                    ),
                    Query(
                        rate("host_network_transmit_bytes_total", "host", "interface"),
                        "{{host}} {{interface}} out",
                    ),
                ),
                panel(
                    "Errors and drops of the host's network",
                    "Packets per second.",
                    "pps",
                    Query(
                        "sum by (host, interface) (rate(host_network_receive_errors_total"
                        f"[{INTERVAL}]) + rate(host_network_transmit_errors_total[{INTERVAL}]))",
                        "{{host}} {{interface}} errors",
                    ),
                    Query(
                        "sum by (host, interface) (rate(host_network_receive_packets_dropped_total"
                        f"[{INTERVAL}]) + rate(host_network_transmit_packets_dropped_total"
                        f"[{INTERVAL}]))",
                        "{{host}} {{interface}} dropped",
                    ),
                ),
                panel(
                    "CPU by mode",
                    "Cores; iowait is waiting for disks.",
                    "short",
                    Query(
                        rate("node_cpu_seconds_total", "mode", where='{mode!="idle"}'), "{{mode}}"
                    ),
                    stack=True,
                ),
                panel(
                    "Load",
                    "Processes running or waiting, averaged over 1 and 15 minutes.",
                    "short",
                    Query("node_load1", "1 min {{host}}"),
                    Query("node_load15", "15 min {{host}}"),
                ),
                panel(
                    "Free space",
                    "Share of each file system and volume.",
                    "percentunit",
                    Query("groundwork:storage_available:ratio", "{{volume}}"),
                    maximum=1,
                    warn=0.2,
                    alarm=0.1,
                ),
                panel(
                    "Disk traffic",
                    "Bytes read and written.",
                    "Bps",
                    Query(
                        rate("node_disk_read_bytes_total", "device", where=f"{{{_DISK}}}"),
                        "{{device}} read",
                    ),
                    Query(
                        rate("node_disk_written_bytes_total", "device", where=f"{{{_DISK}}}"),
                        "{{device}} written",
                    ),
                ),
                panel(
                    "Open files",
                    "Open file handles on the host.",
                    "short",
                    Query("node_filefd_allocated", "{{host}}"),
                ),
            ),
            "node-exporter",
        ),
        Row(
            "Application",
            (
                panel(
                    "Requests",
                    "Responses per second, by status.",
                    "reqps",
                    Query(
                        rate("http_requests_total", "service", "status"), "{{service}} {{status}}"
                    ),
                    stack=True,
                ),
                panel(
                    "Response time",
                    "Median and 95th percentile.",
                    "s",
                    Query(
                        quantile(0.5, "http_request_duration_seconds", "service"), "{{service}} P50"
                    ),
                    Query("groundwork:http_request_duration_seconds:p95", "{{service}} P95"),
                    warn=1,
                    alarm=2,
                ),
                panel(
                    "Failures",
                    "Per minute, by kind; an alert fires above 10.",
                    "short",
                    Query("groundwork:errors:rate1m", "{{service}} {{kind}}"),
                    warn=5,
                    alarm=10,
                ),
            ),
            "application",
        ),
        Row(
            "Monitoring",
            (
                panel(
                    "Series in memory",
                    "Series in Prometheus' head block.",
                    "short",
                    "prometheus_tsdb_head_series",
                ),
                panel(
                    "Scrape duration",
                    "The slowest endpoint of each job.",
                    "s",
                    Query("max by (job) (scrape_duration_seconds)", "{{job}}"),
                ),
                panel(
                    "Samples",
                    "Ingested per second.",
                    "short",
                    f"rate(prometheus_tsdb_head_samples_appended_total[{INTERVAL}])",
                ),
            ),
            "prometheus",
        ),
        Row(
            "Alerting",
            (
                panel(
                    "Alerts sent",
                    "From Prometheus to Alertmanager, per second.",
                    "short",
                    f"rate(prometheus_notifications_sent_total[{INTERVAL}])",
                ),
                panel(
                    "Alerts in Alertmanager",
                    "By state: active, or suppressed because another alert explains them.",
                    "short",
                    Query("alertmanager_alerts", "{{state}}"),
                ),
                panel(
                    "Notifications",
                    "Sent to receivers and failed, per second.",
                    "short",
                    Query(
                        rate("alertmanager_notifications_total", "integration"), "{{integration}}"
                    ),
                    Query(
                        rate("alertmanager_notifications_failed_total", "integration"),
                        "{{integration}} failed",
                    ),
                ),
            ),
            "alertmanager",
        ),
        Row(
            "Backups",
            (
                panel(
                    "Age of the last backup",
                    "By store; before the first one, since the stack was first seen.",
                    "s",
                    Query("time() - groundwork_backup_last_success_timestamp_seconds", "{{store}}"),
                ),
                panel(
                    "Size of the last backup",
                    "Bytes read of each store, before deduplication and compression.",
                    "bytes",
                    Query("groundwork_backup_size_bytes", "{{store}}"),
                    Query("groundwork_backup_repository_size_bytes", "repository"),
                ),
                panel(
                    "Duration of the last backup",
                    "By store.",
                    "s",
                    Query("groundwork_backup_duration_seconds", "{{store}}"),
                ),
            ),
            "backup",
        ),
    ),
)
