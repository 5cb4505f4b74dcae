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
    "Whether everything runs, and what is about to run out: memory, CPU, disk.",
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
                    "Everything that Prometheus reads, applications included.",
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
                    "Alerts that fire now; one is the dead man's switch, which always does.",
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
                    "Part of the host's memory in use.",
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
                    "Part of the host's cores in use.",
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
                    "Room left on the volume that has least.",
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
                    "1 where it answers, 0 where it does not.",
                    "short",
                    Query("min by (service, role) (up)", "{{service}} ({{role}})"),
                    maximum=1,
                    width=12,
                ),
                panel(
                    "Time since start",
                    "A line that falls to zero is a restart.",
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
                    "Memory of the limit",
                    "At 1 the kernel kills something.",
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
                    "Processes that the kernel killed for want of memory, in the last hour.",
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
                    "In use, and what can be taken back.",
                    "bytes",
                    Query(
                        "node_memory_MemTotal_bytes - node_memory_MemAvailable_bytes",
                        "used {{host}}",
                    ),
                    Query("node_memory_MemAvailable_bytes", "available {{host}}"),
                    stack=True,
                ),
                panel(
                    "CPU by what it does",
                    "Cores; waiting for disks is iowait.",
                    "short",
                    Query(
                        rate("node_cpu_seconds_total", "mode", where='{mode!="idle"}'), "{{mode}}"
                    ),
                    stack=True,
                ),
                panel(
                    "Load",
                    "Processes that run or wait to, over one and fifteen minutes.",
                    "short",
                    Query("node_load1", "1 min {{host}}"),
                    Query("node_load15", "15 min {{host}}"),
                ),
                panel(
                    "Room left",
                    "Part of each file system and volume.",
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
                    "File handles of the whole host.",
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
                    "Answers per second, by status.",
                    "reqps",
                    Query(
                        rate("http_requests_total", "service", "status"), "{{service}} {{status}}"
                    ),
                    stack=True,
                ),
                panel(
                    "Time to answer",
                    "Half of the requests, and all but one in twenty, are faster.",
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
                    "Per minute, by what failed; above 10 it alerts.",
                    "short",
                    Query("groundwork:errors:rate1m", "{{service}} {{kind}}"),
                    warn=5,
                    alarm=10,
                ),
            ),
            "application",
        ),
        Row(
            "The watchers",
            (
                panel(
                    "Series in memory",
                    "What Prometheus keeps ready.",
                    "short",
                    "prometheus_tsdb_head_series",
                ),
                panel(
                    "Time to scrape",
                    "The slowest endpoint of each job.",
                    "s",
                    Query("max by (job) (scrape_duration_seconds)", "{{job}}"),
                ),
                panel(
                    "Samples",
                    "Taken in per second.",
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
                    "Alerts handed over",
                    "Prometheus to Alertmanager, per second.",
                    "short",
                    f"rate(prometheus_notifications_sent_total[{INTERVAL}])",
                ),
                panel(
                    "Alerts known",
                    "By state: active, or held back because another one explains them.",
                    "short",
                    Query("alertmanager_alerts", "{{state}}"),
                ),
                panel(
                    "Notifications",
                    "Sent to receivers, and failed, per second.",
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
    ),
)
