"""Alertmanager, Loki, Tempo, Alloy and what they have in common."""

import re
from typing import Any

import pytest
import yaml

from infra import configuration, sizing
from infra.redaction import REDACTIONS
from infra.refusal import PreflightError
from infra.secret import Secret
from infra.settings.observability import Loki
from infra.spec import Platform
from infra.units import GIB, MIB
from tests.unit.conftest import MASTER, make_platform, make_settings, text

WATCHERS = {
    "prometheus",
    "grafana",
    "alertmanager",
    "loki",
    "tempo",
    "alloy",
    "alloy-logs",
    "cadvisor",
    "node-exporter",
    "postgres-exporter",
    "redis-cache-exporter",
    "redis-queue-exporter",
    "socket-proxy",
}
FORWARD = {
    "name": "vendor",
    "endpoint": "https://otlp.example.org",
    "headers": {"x-key": "a-key-of-a-vendor"},
}


def names(platform: Platform) -> set[str]:
    return {service.name for service in platform.services}


class TestTheGroup:
    """`groundwork:observability`."""

    def test_is_turned_off_at_once(self) -> None:
        off = make_platform(observability={"enabled": False})
        assert not names(off) & WATCHERS
        assert names(off) == names(make_platform()) - WATCHERS

    def test_leaves_on_what_says_so_itself(self) -> None:
        keys = {
            "observability": {"enabled": False},
            "prometheus": {"enabled": True},
            "exporters": {"node": {"enabled": True}},
        }
        assert names(make_platform(**keys)) & WATCHERS == {"prometheus", "node-exporter"}

    def test_without_it_nobody_sends_anything_there(self) -> None:
        off = make_platform(observability={"enabled": False})
        assert "otel" not in text(off.by_name("litellm"), "config.yaml")
        assert "alloy" not in off.by_name("litellm").networks

    @pytest.mark.parametrize("wrong", [True, 3, "no"])
    def test_what_is_no_group_is_refused(self, wrong: object) -> None:
        config = {
            "groundwork:masterSecret": MASTER,
            "groundwork:instance": "abc123",
            "groundwork:observability": str(wrong),
        }
        with pytest.raises(PreflightError, match="observability"):
            configuration.load(config, ["groundwork:masterSecret"], stack="dev")


class TestAlertmanager:
    """Receivers, and the secrets that they take."""

    def config(self, **keys: Any) -> dict[str, Any]:
        loaded: dict[str, Any] = yaml.safe_load(
            text(make_platform(alertmanager=keys).by_name("alertmanager"), "alertmanager.yml")
        )
        return loaded

    def test_without_a_receiver_the_deploy_says_so(self) -> None:
        assert any("no receiver is configured" in note for note in make_platform().notes)
        assert not any(
            "no receiver" in note
            for note in make_platform(
                alertmanager={"webhook": {"url": "https://example.org"}}
            ).notes
        )

    def test_with_a_receiver_but_no_switch_it_says_that(self) -> None:
        assert any(
            "deadMansSwitch" in note
            for note in make_platform(
                alertmanager={"webhook": {"url": "https://example.org"}}
            ).notes
        )

    @pytest.mark.parametrize(
        ("keys", "kind", "file"),
        [
            (
                {"slack": {"webhookUrl": "https://hooks.example.org/abc", "channel": "#ops"}},
                "slack_configs",
                "slack-url",
            ),
            (
                {
                    "email": {
                        "to": "a@b.org",
                        "sender": "c@b.org",
                        "host": "mail.b.org:587",
                        "username": "u",
                        "password": "pw-of-mail",
                    }
                },
                "email_configs",
                "email-password",
            ),
            (
                {"webhook": {"url": "https://example.org/secret-path"}},
                "webhook_configs",
                "webhook-url",
            ),
            (
                {"pagerduty": {"routingKey": "key-of-pagerduty-0123456789"}},
                "pagerduty_configs",
                "pagerduty-key",
            ),
            (
                {"opsgenie": {"apiKey": "key-of-opsgenie-0123456789"}},
                "opsgenie_configs",
                "opsgenie-key",
            ),
        ],
    )
    def test_a_receivers_secret_is_read_from_a_file(
        self, keys: dict[str, Any], kind: str, file: str
    ) -> None:
        service = make_platform(alertmanager=keys).by_name("alertmanager")
        receiver = next(
            item for item in self.config(**keys)["receivers"] if item["name"] == "warning"
        )
        assert set(receiver) == {"name", kind}
        assert f"/etc/groundwork/{file}" in str(receiver[kind])
        secret = next(item for item in service.files if item.path.endswith(file)).content
        assert isinstance(secret, Secret)
        assert secret.reveal() not in str(receiver)

    @pytest.mark.parametrize(
        ("port", "tls", "asked"), [(587, True, True), (587, False, False), (465, True, False)]
    )
    def test_mail_is_encrypted_by_the_ports_own_way(
        self, port: int, tls: bool, asked: bool
    ) -> None:
        """On 465 it is TLS from the first byte, and STARTTLS within it is asked of no server."""
        email = {"to": "a@b.org", "sender": "c@b.org", "host": f"mail.b.org:{port}", "tls": tls}
        people = next(
            item for item in self.config(email=email)["receivers"] if item["name"] == "critical"
        )
        assert people["email_configs"][0]["require_tls"] is asked

    def test_a_receiver_is_told_of_its_severities(self) -> None:
        config = self.config(
            slack={"webhookUrl": "https://hooks.example.org/abc"},
            pagerduty={"routingKey": "key-of-pagerduty-0123456789", "severities": ["critical"]},
        )
        told = {item["name"]: set(item) - {"name"} for item in config["receivers"]}
        assert told["critical"] == {"slack_configs", "pagerduty_configs"}
        assert told["warning"] == {"slack_configs"}
        routes = {route["receiver"] for route in config["route"]["routes"]}
        assert routes == {"critical", "dead-mans-switch"}

    @pytest.mark.parametrize(
        ("keys", "url"),
        [
            ({}, "http://127.0.0.1:9093/"),
            ({"portOffset": 100}, "http://127.0.0.1:9193/"),
            (
                {"alertmanager": {"externalUrl": "https://alerts.example.org"}},
                "https://alerts.example.org/",
            ),
        ],
    )
    def test_links_lead_to_where_people_reach_it(self, keys: dict[str, Any], url: str) -> None:
        assert f"--web.external-url={url}" in make_platform(**keys).by_name("alertmanager").command

    def test_the_runbooks_link_is_whole_if_its_tree_is_known(self) -> None:
        loaded = text(
            make_platform(
                alertmanager={"slack": {"webhookUrl": "https://hooks.example.org/abc"}},
                alerts={"runbookUrl": "https://git.example.org/infra/blob/main/"},
            ).by_name("alertmanager"),
            "alertmanager.yml",
        )
        assert "https://git.example.org/infra/blob/main/{{ .Annotations.runbook }}" in loaded

    def test_critical_alerts_are_repeated_sooner(self) -> None:
        route = self.config()["route"]
        critical = next(
            item for item in route["routes"] if item["matchers"] == ['severity = "critical"']
        )
        assert (critical["repeat_interval"], route["repeat_interval"]) == ("1h", "12h")
        assert route["group_by"] == ["environment", "severity", "alertname"]

    def test_a_host_that_is_down_silences_its_services(self) -> None:
        rule = self.config()["inhibit_rules"][0]
        assert rule["source_matchers"] == ['alertname = "HostDown"']
        assert rule["equal"] == ["environment", "host"]
        # A label that both lack is equal: what has no host is not on that host.
        assert 'host != ""' in rule["target_matchers"]

    def test_prometheus_logs_in(self) -> None:
        prometheus = make_platform().by_name("prometheus")
        made = yaml.safe_load(text(prometheus, "prometheus.yml"))
        assert (
            made["alerting"]["alertmanagers"][0]["basic_auth"]["password_file"]
            == "/etc/groundwork/alertmanager-password"
        )
        assert "alerting" not in yaml.safe_load(
            text(
                make_platform(alertmanager={"enabled": False}).by_name("prometheus"),
                "prometheus.yml",
            )
        )


class TestPrometheus:
    """Who is scraped, and as whom."""

    def jobs(self, **keys: Any) -> dict[str, dict[str, Any]]:
        made = yaml.safe_load(text(make_platform(**keys).by_name("prometheus"), "prometheus.yml"))
        return {job["job_name"]: job for job in made["scrape_configs"]}

    @pytest.mark.parametrize(
        ("job", "service"),
        [
            ("postgres-exporter", "postgres"),
            ("redis-queue-exporter", "redis-queue"),
            ("node-exporter", "node-exporter"),
        ],
    )
    def test_an_exporter_speaks_for_its_service(self, job: str, service: str) -> None:
        assert self.jobs()[job]["static_configs"][0]["labels"] == {
            "service": service,
            "role": "exporter",
            "host": "docker",
        }

    def test_containers_of_other_stacks_are_left_out(self) -> None:
        relabel = self.jobs()["cadvisor"]["metric_relabel_configs"]
        assert {
            "action": "keep",
            "source_labels": ["container_label_groundwork_instance"],
            "regex": "abc123|",
        } in relabel

    def test_in_a_cluster_the_kubelets_are_asked(self) -> None:
        jobs = self.jobs(target="kubernetes", kubernetes={"context": "test"})
        assert "cadvisor" not in jobs
        assert jobs["containers"]["kubernetes_sd_configs"] == [{"role": "node"}]
        assert {
            "action": "keep",
            "source_labels": ["__name__", "namespace"],
            "regex": "host_network_.*;|.*;(groundwork-dev|groundwork-dev-host)",
        } in jobs["containers"]["metric_relabel_configs"]

    @pytest.mark.parametrize(
        ("sample", "wanted"),
        [
            ("kubelet_volume_stats_used_bytes;groundwork-dev", True),
            ("kubelet_volume_stats_used_bytes;team-b", False),
            ("kubelet_node_name;", True),
        ],
        ids=["its own", "another's", "no volume"],
    )
    def test_other_peoples_volumes_are_left_out(self, sample: str, wanted: bool) -> None:
        relabel = self.jobs(target="kubernetes", kubernetes={"context": "test"})["kubelet"][
            "metric_relabel_configs"
        ]
        kept = next(item for item in relabel if item["action"] == "keep")
        assert kept["source_labels"] == ["__name__", "namespace"]
        assert bool(re.fullmatch(kept["regex"], sample)) == wanted

    @pytest.mark.parametrize(
        ("series", "named"),
        [
            ("/;container_network_receive_bytes_total;eth0", "host_network_receive_bytes_total"),
            (
                "/;container_network_transmit_errors_total;enp3s0",
                "host_network_transmit_errors_total",
            ),
            ("/;container_network_receive_bytes_total;br-1234", None),
            ("/;container_network_receive_bytes_total;veth12", None),
            ("/docker/abc;container_network_receive_bytes_total;eth0", None),
            ("/;container_memory_usage_bytes;", None),
        ],
    )
    @pytest.mark.parametrize(
        ("job", "keys"),
        [
            ("cadvisor", {}),
            ("containers", {"target": "kubernetes", "kubernetes": {"context": "test"}}),
        ],
    )
    def test_the_hosts_own_cards_are_told_apart(
        self, job: str, keys: dict[str, Any], series: str, named: str | None
    ) -> None:
        """Not the bridges and pairs of containers, and not what containers themselves send."""
        rule = self.jobs(**keys)[job]["metric_relabel_configs"][0]
        assert rule["source_labels"] == ["id", "__name__", "interface"]
        match = re.fullmatch(rule["regex"], series)
        assert (match and rule["replacement"].replace("$1", match[1])) == named

    def test_on_docker_the_size_of_each_volume_is_told(self) -> None:
        prometheus = make_platform(postgres={"disk": "20GiB"}).by_name("prometheus")
        rules = yaml.safe_load(text(prometheus, "volumes.yml"))["groups"][0]["rules"]
        found = {
            rule["labels"]["volume"]: rule["expr"]
            for rule in rules
            if rule["record"] == "groundwork:volume_size_bytes"
        }
        assert found["postgres-data"] == f"vector({20 * 1024**3})"
        assert {"prometheus-data", "redis-queue-data", "minio-data"} <= set(found)
        clustered = make_platform(target="kubernetes", kubernetes={"context": "test"})
        told = yaml.safe_load(text(clustered.by_name("prometheus"), "volumes.yml"))
        assert told["groups"][0]["rules"] == []

    @pytest.mark.parametrize(
        ("keys", "volumes"),
        [
            ({"loki": {"retention": "2d"}}, {"loki-data": "172800s", "backup-data": ""}),
            (
                {"backup": {"repository": {"path": "/srv/backup"}}},
                {"loki-data": "1209600s"},
            ),
            (
                {"loki": {"retention": "30d"}, "prometheus": {"retention": "10d"}},
                {"loki-data": "[864000s]) * 3) < clamp_min(", "backup-data": ""},
            ),
        ],
        ids=["a repository in its volume", "a repository elsewhere", "what is forgotten"],
    )
    def test_on_docker_what_settings_tell_of_a_volumes_use_is_counted(
        self, keys: dict[str, Any], volumes: dict[str, str]
    ) -> None:
        """Loki has what it wrote within its retention, as far as its disk holds it."""
        prometheus = make_platform(**keys).by_name("prometheus")
        rules = yaml.safe_load(text(prometheus, "volumes.yml"))["groups"][0]["rules"]
        found = {
            rule["labels"]["volume"]: rule["expr"]
            for rule in rules
            if rule["record"] == "groundwork:volume_used_bytes"
        }
        assert set(found) == set(volumes)
        assert [name for name, part in volumes.items() if part not in found[name]] == []

    @pytest.mark.parametrize(
        ("name", "port"), [("litellm", 4000), ("minio", 9000), ("node-exporter", 9100)]
    )
    def test_in_a_cluster_each_pod_is_asked_and_its_node_known(self, name: str, port: int) -> None:
        """Also of copies and of what runs on every node; and a pod that is there again has the
        name that it had.
        """
        job = self.jobs(
            target="kubernetes", kubernetes={"context": "test"}, litellm={"replicas": 2}
        )[name]
        assert "static_configs" not in job
        assert job["kubernetes_sd_configs"] == [
            {
                "role": "pod",
                "namespaces": {"names": ["groundwork-dev", "groundwork-dev-host"]},
            }
        ]
        relabel = job["relabel_configs"]
        assert relabel[0]["regex"] == f"{name};server"
        made = {item["target_label"]: item for item in relabel if "target_label" in item}
        assert made["host"]["source_labels"] == ["__meta_kubernetes_pod_node_name"]
        assert made["instance"] == {
            "source_labels": ["__meta_kubernetes_pod_name"],
            "target_label": "instance",
            "replacement": f"$1:{port}",
        }

    def test_an_address_of_either_kind_is_one_to_ask(self) -> None:
        jobs = self.jobs(target="kubernetes", kubernetes={"context": "test"})
        rules = [
            item
            for item in jobs["minio"]["relabel_configs"]
            if item.get("target_label") == "__address__"
        ]
        made = {}
        for address in ("10.244.0.7", "fd00::7"):
            for rule in rules:
                if match := re.fullmatch(rule["regex"], address):
                    made[address] = rule["replacement"].replace("$1", match[1])
        assert made == {"10.244.0.7": "10.244.0.7:9000", "fd00::7": "[fd00::7]:9000"}

    @pytest.mark.parametrize(
        "keys", [{}, {"target": "kubernetes", "kubernetes": {"context": "test"}}]
    )
    def test_every_service_is_expected_to_answer(self, keys: dict[str, Any]) -> None:
        platform = make_platform(images="registry", **keys)
        rules = yaml.safe_load(text(platform.by_name("prometheus"), "expected.yml"))["groups"][0][
            "rules"
        ]
        expected = {rule["labels"]["service"] for rule in rules}
        assert expected == {
            service.name
            for service in platform.services
            if service.metrics and service.kind not in ("exporter", "containers")
        }
        assert {"minio", "qdrant", "litellm", "grafana", "loki"} <= expected

    def test_the_budget_is_the_configured_one(self) -> None:
        rules = yaml.safe_load(
            text(
                make_platform(litellm={"dailyBudgetUsd": 7.5}).by_name("prometheus"),
                "thresholds.yml",
            )
        )
        assert rules["groups"][0]["rules"][0]["expr"] == "vector(7.5)"

    def test_a_threshold_is_the_configured_one(self) -> None:
        alerts = {"thresholds": {"responseSeconds": 0.25}}
        rules = yaml.safe_load(
            text(make_platform(alerts=alerts).by_name("prometheus"), "thresholds.yml")
        )["groups"][0]["rules"]
        found = {rule["record"]: rule["expr"] for rule in rules}
        assert found["groundwork:threshold:response_seconds"] == "vector(0.25)"
        assert "groundwork:ai_budget_usd:monthly" not in found

    def test_series_tell_their_environment(self) -> None:
        made = yaml.safe_load(
            text(make_platform(environment="staging").by_name("prometheus"), "prometheus.yml")
        )
        assert made["global"]["external_labels"] == {"environment": "staging"}


class TestAlloy:
    """Logs and traces."""

    def config(self, **keys: Any) -> str:
        return text(make_platform(**keys).by_name("alloy"), "config.alloy")

    def logs(self, **keys: Any) -> str:
        return text(make_platform(**keys).by_name("alloy-logs"), "config.alloy")

    def test_what_takes_from_a_network_shows_it_nothing_of_the_host(self) -> None:
        """And what reads the host's files takes from nobody."""
        platform = make_platform()
        endpoint, reader = platform.by_name("alloy"), platform.by_name("alloy-logs")
        assert (dict(endpoint.binds), endpoint.volumes, endpoint.user.split(":")[0]) == (
            {},
            (),
            "473",
        )
        assert reader.ports == ()
        assert "otelcol" not in self.logs()
        assert "loki.source" not in self.config()

    def test_logs_are_read_where_somebody_keeps_them(self) -> None:
        off = make_platform(loki={"enabled": False}, grafana={"enabled": False})
        assert "alloy-logs" not in {service.name for service in off.services}
        assert "alloy" in {service.name for service in off.services}

    def test_redacts_before_it_hands_on(self) -> None:
        made = self.logs()
        assert made.count("stage.replace") == len(REDACTIONS)
        assert made.index("stage.replace") < made.index('loki.write "store"')
        # The only way to the store leads through the redaction.
        assert made.count("forward_to = [loki.write.store.receiver]") == 1
        assert made.count("forward_to = [loki.process.redacted.receiver]") == 1

    def test_reads_the_engines_files_and_never_its_socket(self) -> None:
        service = make_platform().by_name("alloy-logs")
        assert dict(service.binds) == {"/var/lib/docker/containers": "/var/lib/docker/containers"}
        assert service.capabilities == ()

    def test_in_a_cluster_reads_its_own_namespaces_only(self) -> None:
        made = self.logs(target="kubernetes", kubernetes={"context": "test"})
        assert '"/var/log/pods/groundwork-dev_*/*/*.log"' in made
        assert '"/var/log/pods/groundwork-dev-host_*/*/*.log"' in made
        assert "http://loki.groundwork-dev:3100" in made

    def test_asks_for_a_token_on_both_protocols(self) -> None:
        assert self.config().count("auth     = otelcol.auth.bearer.applications.handler") == 2

    @pytest.mark.parametrize(
        "expected",
        [
            "otelcol.exporter.otlphttp.tempo.input",
            "otelcol.exporter.otlphttp.traces_vendor.input",
            '"https://otlp.example.org"',
            '"a-key-of-a-vendor"',
        ],
    )
    def test_hands_traces_to_tempo_and_wherever_the_stack_says(self, expected: str) -> None:
        assert expected in self.config(alloy={"forwardTraces": [FORWARD]})

    def test_an_endpoint_may_have_the_name_of_the_stacks_own(self) -> None:
        made = self.config(alloy={"forwardTraces": [{**FORWARD, "name": "tempo"}]})
        assert 'otelcol.exporter.otlphttp "tempo"' in made
        assert 'otelcol.exporter.otlphttp "traces_tempo"' in made

    @pytest.mark.parametrize("source", ["packages", "registry"])
    def test_takes_minios_audit_from_nobody_else(self, source: str) -> None:
        """With a token of its own, on MinIO's network: who joins Alloy's does not reach MinIO."""
        keys = {"images": source, "minio": {"audit": True}}
        platform = make_platform(**keys)
        alloy, minio = platform.by_name("alloy"), platform.by_name("minio")
        told = next(item for item in minio.files if item.path == minio.env["MINIO_CONFIG_ENV_FILE"])
        assert isinstance(told.content, Secret)
        lines = dict(line.split("=", 1) for line in told.content.reveal().splitlines())
        token = lines["MINIO_AUDIT_WEBHOOK_AUTH_TOKEN_LOG"].removeprefix("Bearer ")
        assert f'token = "{token}"' in self.config(**keys)
        assert token != alloy.credentials["otlp"].reveal()
        assert "minio" in alloy.networks
        assert "alloy" not in minio.networks
        assert minio.calls_back == ("alloy",)
        assert "--stability.level=public-preview" in alloy.command

    def test_takes_no_audit_unless_asked_to(self) -> None:
        assert "8088" not in self.config()
        assert "MINIO_CONFIG_ENV_FILE" not in make_platform().by_name("minio").env

    def test_a_vendors_key_makes_the_configuration_secret(self) -> None:
        assert isinstance(
            make_platform(alloy={"forwardTraces": [FORWARD]}).by_name("alloy").files[0].content,
            Secret,
        )

    @pytest.mark.parametrize(
        "keys",
        [{"tempo": {"enabled": False}}, {"alloy": {"forwardTraces": [FORWARD]}}],
        ids=["nobody keeps them", "forwarded"],
    )
    def test_who_keeps_traces_is_nothing_to_who_sends_them(self, keys: dict[str, Any]) -> None:
        """What only watches must not replace what serves: LiteLLM sends to one place, whoever is
        behind it.
        """
        assert make_platform(**keys).by_name("litellm") == make_platform().by_name("litellm")
        assert (
            make_platform(**keys).by_name("alloy").ports == make_platform().by_name("alloy").ports
        )

    def test_a_key_in_plain_text_is_refused_even_in_a_list(self) -> None:
        file = {"config": {"groundwork:alloy": {"forwardTraces": [{**FORWARD, "name": "vendor"}]}}}
        problems = configuration.plain_text_in(file)
        assert [problem.key for problem in problems] == [
            "groundwork:alloy.forwardTraces[0].headers.x-key"
        ]


@pytest.mark.parametrize("key", ["slack.webhookUrl", "webhook.url", "email.password"])
def test_receivers_secrets_in_plain_text_are_refused(key: str) -> None:
    group, _, name = key.partition(".")
    assert [
        item.key
        for item in configuration.plain_text_in(
            {"config": {"groundwork:alertmanager": {group: {name: "x"}}}}
        )
    ] == [f"groundwork:alertmanager.{key}"]


@pytest.mark.parametrize("name", ["prometheus", "loki", "tempo", "alloy", "alloy-logs"])
def test_the_runtime_knows_the_limit(name: str) -> None:
    """A Go runtime that does not know it lets garbage grow until the kernel kills it."""
    keys: dict[str, Any] = (
        {"alloy": {"logs": {"memory": "1GiB"}}}
        if name == "alloy-logs"
        else {name: {"memory": "1GiB"}}
    )
    service = make_platform(**keys).by_name(name)
    assert service.env["GOMEMLIMIT"] == "921MiB", "nine tenths of it"


def test_lokis_numbers_follow_from_its_limits() -> None:
    small, large = (sizing.loki(memory=size, disk=4 * size) for size in (256 * MIB, 4 * GIB))
    assert {key for key in small if large[key] <= small[key]} == set()
    assert large["results_mb"] + large["chunks_mb"] < 4096 / 4


@pytest.mark.parametrize("disk", [GIB, 2 * GIB, 100 * GIB])
def test_what_loki_takes_at_most_fits_its_disk(disk: int) -> None:
    """Its rate for the day that is never deleted, and what of it is not gone yet, and a burst; a
    tenth is left for its own log.
    """
    sizes = sizing.loki(memory=GIB, disk=disk)
    assert (sizes["rate_mb"] * 25.5 * 3600 + sizes["burst_mb"]) * MIB / 8 <= disk * 0.91


def test_tempos_intake_fits_its_disk_and_its_memory() -> None:
    assert sizing.tempo(memory=256 * MIB, disk=GIB)["rate"] * 86400 / 8 <= GIB
    # However large the disk, a second's spans fit the memory.
    assert sizing.tempo(memory=256 * MIB, disk=10**15)["rate"] == 4 * MIB


def test_logs_are_kept_for_fourteen_days_unless_told() -> None:
    def kept(**keys: Any) -> str:
        found: str = yaml.safe_load(text(make_platform(**keys).by_name("loki"), "loki.yaml"))[
            "limits_config"
        ]["retention_period"]
        return found

    assert (kept(), kept(loki={"retention": "30d"})) == ("14d", "30d")
    assert make_settings().of(Loki).retention == 14 * 86400


@pytest.mark.parametrize(
    ("source", "key"), [("registry", "backend_worker"), ("packages", "compactor")]
)
def test_tempos_configuration_is_of_its_major_version(source: str, key: str) -> None:
    """Version 3 compacts in another place than version 2, which is what modules carry."""
    made = yaml.safe_load(text(make_platform(images=source).by_name("tempo"), "tempo.yaml"))
    assert made[key]["compaction"]["block_retention"] == "72h0m0s"


def test_grafana_asks_each_database_as_a_reader() -> None:
    platform = make_platform(applications=[{"name": "shop"}], grafana={"clickhouse": True})
    grafana = platform.by_name("grafana")
    made = yaml.safe_load(text(grafana, "datasources/groundwork.yaml"))["datasources"]
    sources = {item["uid"]: item for item in made}
    found = {
        uid: (source.get("user") or source["jsonData"].get("username"), source["jsonData"])
        for uid, source in sources.items()
        if uid.startswith(("postgres", "clickhouse"))
    }
    assert {uid: user for uid, (user, _) in found.items()} == dict.fromkeys(
        ("postgres", "postgres-shop", "clickhouse", "clickhouse-shop"), "grafana"
    )
    assert found["postgres-shop"][1]["database"] == "shop"
    assert found["clickhouse"][1]["defaultDatabase"] == "analytics"
    assert re.fullmatch(r".+@\d+\.\d+\.\d+", str(grafana.env["GF_PLUGINS_PREINSTALL_SYNC"]))
    assert grafana.reaches_out
    assert any(item.path.endswith("/analytics.json") for item in grafana.files)


def test_without_being_asked_grafana_downloads_nothing() -> None:
    grafana = make_platform().by_name("grafana")
    assert "GF_PLUGINS_PREINSTALL_SYNC" not in grafana.env
    assert not grafana.reaches_out
    assert not any(item.path.endswith("/analytics.json") for item in grafana.files)


def test_grafana_links_logs_metrics_and_traces() -> None:
    made = yaml.safe_load(text(make_platform().by_name("grafana"), "datasources/groundwork.yaml"))[
        "datasources"
    ]
    sources = {item["uid"]: item for item in made}
    assert set(sources) == {"prometheus", "loki", "tempo", "alertmanager", "postgres"}
    assert sources["loki"]["jsonData"]["derivedFields"][0]["datasourceUid"] == "tempo"
    assert sources["tempo"]["jsonData"]["tracesToLogsV2"]["datasourceUid"] == "loki"
    assert sources["tempo"]["jsonData"]["tracesToMetrics"]["datasourceUid"] == "prometheus"
    assert (
        sources["prometheus"]["jsonData"]["exemplarTraceIdDestinations"][0]["datasourceUid"]
        == "tempo"
    )
    assert [item["uid"] for item in made if item["editable"] is not False] == []
