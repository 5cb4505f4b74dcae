"""What a review says of a change, and in which order."""

from collections.abc import Callable
from typing import Any

import pytest

from infra.refusal import PreflightError, Violation
from ops.build.toolchain import Toolchain
from ops.commands import review as reviewing
from ops.review import markdown, sources, steps
from ops.review.compare import compare, summary
from ops.review.findings import Review, Severity
from ops.review.sources import Unavailable
from ops.stacks import state
from ops.stacks.stack import Stack
from tests.unit.test_description import describe

CLUSTER: dict[str, Any] = {"target": "kubernetes", "kubernetes": {"context": "c"}}
Change = dict[str, Any]


def review(before: Change, after: Change, **seconds: float) -> Review:
    return compare(describe(**before), describe(**after), compared_with="`main`", seconds=seconds)


def texts(found: Review, severity: Severity) -> list[str]:
    return [item.text for item in found.of(severity)]


CASES: list[tuple[str, Change, Change, Severity, str]] = [
    (
        "a store's memory",
        {},
        {"postgres": {"memory": "2GiB"}},
        Severity.INTERRUPTION,
        "`postgres` is replaced: its volume is kept, clients are cut off for about 4 s",
    ),
    (
        "the same on Kubernetes",
        CLUSTER,
        {**CLUSTER, "postgres": {"memory": "2GiB"}},
        Severity.INTERRUPTION,
        "`postgres` is rolled: its volume is kept, clients are cut off for about 4 s",
    ),
    (
        "replicas that take turns",
        {**CLUSTER, "litellm": {"replicas": 2, "maxReplicas": 2}},
        {**CLUSTER, "litellm": {"replicas": 2, "maxReplicas": 2, "memory": "2GiB"}},
        Severity.CHANGE,
        "`litellm` is rolled, pod by pod: its 2 replicas take turns",
    ),
    (
        "one more replica",
        {**CLUSTER, "litellm": {"replicas": 2, "maxReplicas": 3}},
        {**CLUSTER, "litellm": {"replicas": 3, "maxReplicas": 3}},
        Severity.CHANGE,
        "`litellm` scales from 2 to 3 replicas",
    ),
    (
        "a file that is read again",
        {},
        {"prometheus": {"scrapeInterval": "5s"}},
        Severity.CHANGE,
        "`prometheus` reads its files again; its clients stay connected",
    ),
    (
        "a store that goes",
        {},
        {"clickhouse": {"enabled": False}},
        Severity.LOSS,
        "`clickhouse` is removed; its data in `clickhouse-data` is kept, out of reach, until a"
        " purge",
    ),
    (
        "another target",
        {},
        CLUSTER,
        Severity.LOSS,
        "the stack moves from docker to kubernetes: every service starts there without data; what"
        " it has stays behind",
    ),
    (
        "another instance",
        {"instance": "abc123"},
        {"instance": "def456"},
        Severity.LOSS,
        "every resource gets another name, so every service starts on empty volumes",
    ),
    (
        "another master secret",
        {"masterSecret": {"secure": "one"}},
        {"masterSecret": {"secure": "two"}},
        Severity.LOSS,
        "the master secret was set again: unless its value is the same, no service opens its data,"
        " and the deploy is refused",
    ),
    (
        "a bucket that is no longer declared",
        {"minio": {"buckets": [{"name": "documents"}, {"name": "exports"}]}},
        {"minio": {"buckets": [{"name": "documents"}]}},
        Severity.INTERRUPTION,
        "bucket `exports` is closed to applications; its objects are kept",
    ),
    (
        "images of an older store",
        {"images": "registry"},
        {"images": "packages"},
        Severity.REFUSED,
        "Postgres 17 cannot open the data directory of 18",
    ),
    (
        "a smaller disk in a cluster",
        CLUSTER,
        {**CLUSTER, "postgres": {"disk": "1GiB"}},
        Severity.REFUSED,
        "volume `postgres-data` cannot shrink from 10GiB to 1GiB",
    ),
    (
        "a store that requires TLS from now on",
        {},
        {"redis": {"tls": True}},
        Severity.INTERRUPTION,
        "clients are refused until they use TLS and trust the stack's authority",
    ),
    (
        "a store that no longer requires TLS",
        {"postgres": {"tls": True}},
        {},
        Severity.INTERRUPTION,
        "clients that use TLS are refused until they do without",
    ),
    (
        "a name that certificates no longer have",
        {"minio": {"tls": True}, "tls": {"names": ["db.example.org"]}},
        {"minio": {"tls": True}},
        Severity.INTERRUPTION,
        "clients that know a service as db.example.org refuse its certificate",
    ),
    (
        "another authority of certificates",
        {"minio": {"tls": True}},
        {"minio": {"tls": True}, "tls": {"generation": 2}},
        Severity.INTERRUPTION,
        "another authority signs every certificate: clients refuse them until they trust it",
    ),
    (
        "vectors of another length",
        {},
        {"postgres": {"vectors": {"dimensions": 32}}},
        Severity.LOSS,
        "rows of 1536 dimensions do not fit a table of 32: if there are any, the deploy fails and"
        " leaves them as they are",
    ),
]


@pytest.mark.parametrize(
    ("before", "after", "severity", "text"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_a_change_is_said_in_words_with_its_severity(
    before: Change, after: Change, severity: Severity, text: str
) -> None:
    assert text in texts(review(before, after), severity)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"litellm": {"enabled": False, "tls": True}}),
        ({"litellm": {"enabled": False}}, {"litellm": {"tls": True}}),
        ({}, {"tls": {"generation": 2}}),
    ],
    ids=["a service that goes", "a service that comes", "an authority of nothing"],
)
def test_tls_cuts_off_clients_of_what_is_there_only(before: Change, after: Change) -> None:
    found = [item.subject for item in review(before, after).findings]
    assert not {"groundwork:litellm.tls", "groundwork:tls.generation"} & set(found)


def test_another_replica_cuts_nobody_off() -> None:
    keys = {**CLUSTER, "litellm": {"replicas": 2, "maxReplicas": 3}}
    more = {**CLUSTER, "litellm": {"replicas": 3, "maxReplicas": 3}}
    assert not review(keys, more).grave()


def test_nothing_changes() -> None:
    found = review({}, {})
    assert found.empty
    assert not found.refused
    assert "nothing changes" in markdown.render([found])


def test_a_stacks_own_times_are_taken_first() -> None:
    found = review({}, {"postgres": {"memory": "2GiB"}}, postgres=42.0)
    assert "about 42 s" in texts(found, Severity.INTERRUPTION)[0]


def test_a_rotation_names_secrets_and_shows_no_value() -> None:
    before = {"litellm": {"providers": {"openai": {"apiKey": {"secure": "one"}}}}}
    after = {"litellm": {"providers": {"openai": {"apiKey": {"secure": "two"}}}}}
    found = review(before, after)
    assert found.rotated == ("groundwork:litellm.providers.openai.apiKey (set again)",)
    assert "made-up" not in markdown.render([found])


def test_a_raised_generation_rotates_what_derives_from_it() -> None:
    found = review({}, {"redis": {"cache": {"secretGeneration": 2}}})
    assert "redis-cache: app (rotated)" in found.rotated
    assert not [name for name in found.rotated if name.startswith("redis-queue")]


def test_versions_are_shown_and_stores_are_marked() -> None:
    found = review({"images": "packages"}, {"images": "registry"})
    marked = {name: store for name, _, _, store in found.versions}
    assert marked["postgres"]
    assert not marked["node-exporter"]
    assert "⬆ store" in markdown.render([found])


def test_the_gravest_comes_first() -> None:
    found = review({}, {"clickhouse": {"enabled": False}, "postgres": {"memory": "2GiB"}})
    severities = [item.severity for item in found.findings]
    assert severities == sorted(severities)


def test_totals_and_costs_differ_by_what_changes() -> None:
    found = review({}, {"postgres": {"memory": "2GiB"}, "prices": {"memoryGib": 3.0}})
    assert found.totals["memory"].after - found.totals["memory"].before == 1024**3
    assert found.costs is not None
    assert found.costs.after - found.costs.before == pytest.approx(3.0)


def test_without_a_description_of_before_all_is_new() -> None:
    found = compare(None, describe(), compared_with="nothing")
    assert not found.findings
    assert "postgres" in found.created
    assert found.totals["memory"].before == 0
    assert not found.empty, "a new stack of a pull request is reviewed"


def test_a_description_of_another_format_is_not_compared() -> None:
    found = compare({**describe(), "format": 0}, describe(), compared_with="x")
    assert found.unknown == ("the description of before is of another format, so all looks new",)


def test_relaxed_policies_are_printed() -> None:
    relaxed = {"relaxed": [{"policy": "loopback", "reason": "behind a firewall of ours"}]}
    found = review({}, {"bindAddress": "10.0.0.5", "policies": relaxed})
    assert "⚠ policy loopback is relaxed: behind a firewall of ours" in markdown.render([found])


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: Review(stack="prod", error="no file"), "refused: prod"),
        (lambda: review({}, {"postgres": {"memory": "2GiB"}}), "changed: dev"),
        (lambda: review({}, {}), "nothing changes"),
    ],
    ids=["refused", "changed", "the same"],
)
def test_a_line_sums_it_up(made: Callable[[], Review], words: str) -> None:
    assert summary([made()]) == words


class TestMarkdown:
    """The comment: within the forge's limit, and nothing from a stack file is markup."""

    def test_a_diff_that_does_not_fit_is_left_out_with_a_link(self) -> None:
        long = Review(stack="dev", target="docker", created=("a",), diff="+ line\n" * 20_000)
        text = markdown.render([long], link="https://ci.example.org/1")
        assert len(text) <= markdown.LIMIT
        assert "[The whole text](https://ci.example.org/1)" in text
        assert "Full diff" not in text

    def test_what_still_does_not_fit_is_cut(self) -> None:
        settings = tuple((f"groundwork:{number}", "a" * 40, "b" * 40) for number in range(2000))
        text = markdown.render([Review(stack="dev", settings=settings)])
        assert len(text) <= markdown.LIMIT
        assert text.rstrip().endswith("`make review` shows it.")

    def test_a_diff_that_fits_is_folded_in_a_fence_that_it_cannot_close(self) -> None:
        text = markdown.render([Review(stack="dev", created=("a",), diff="```\n<b>")])
        assert "````diff\n```\n<b>\n````" in text

    def test_a_value_is_no_markup(self) -> None:
        settings = (("groundwork:litellm.modelName", "a|b`c\nd", "<img src=x>"),)
        text = markdown.render([Review(stack="dev", settings=settings)])
        assert "| `a\\|b'c d` | `<img src=x>` |" in text

    def test_nobody_is_mentioned(self) -> None:
        assert "@everyone" not in markdown.render([Review(stack="dev", error="@everyone look")])


class TestPlan:
    """Pulumi's own preview beside the comparison."""

    @pytest.fixture
    def stack(self) -> Stack:
        return Stack("dev", Toolchain((), {}, "docker", None), state.Backend({}, local=True))

    def _with(self, stack: Stack, text: str, monkeypatch: pytest.MonkeyPatch) -> Review:
        def fail(_: Stack) -> None:
            raise sources.PreviewFailed(text)

        monkeypatch.setattr(sources, "plan_of", fail)
        return reviewing._with_plan(review({}, {}), stack)

    def test_a_preview_that_fails_is_said_in_one_line(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = self._with(stack, "error: plugin exited\n  connection refused\n", monkeypatch)
        assert found.error == "the preview failed: connection refused"
        assert found.refused
        assert "⛔ the preview failed: connection refused" in markdown.render([found])

    def test_what_the_program_refuses_is_a_finding_each(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = str(
            PreflightError(
                [
                    Violation(key="groundwork:a", reason="too much", fix="lower it"),
                    Violation(key="groundwork:b (port 1)", reason="taken", fix="another"),
                ]
            )
        )
        found = self._with(stack, f"error: {text}", monkeypatch)
        assert [(item.subject, item.fix) for item in found.of(Severity.REFUSED)] == [
            ("groundwork:a", "lower it"),
            ("groundwork:b (port 1)", "another"),
        ]


def test_a_diff_names_each_resource_and_what_changes_in_it() -> None:
    urn = "urn:pulumi:dev::groundwork::docker:index/container:Container::gw-dev-abc123-{}"
    preview = {
        "changeSummary": {"same": 55, "replace": 1, "create": 1},
        "steps": [
            {"op": "same", "urn": urn.format("minio")},
            {
                "op": "replace",
                "urn": urn.format("redis-queue"),
                "detailedDiff": {"memory": {}, "mounts[0].source": {}},
                "oldState": {"inputs": {"memory": 256, "mounts": [{"source": "a"}]}},
                "newState": {"inputs": {"memory": 320, "mounts": [{"source": "b"}]}},
            },
            {"op": "create-replacement", "urn": urn.format("redis-queue")},
            {"op": "create", "urn": urn.format("new")},
        ],
    }
    assert steps.operations(preview) == {"same": 55, "replace": 1, "create": 1}
    assert steps.diff(preview).splitlines() == [
        "+- docker:index/container:Container gw-dev-abc123-redis-queue",
        "    memory: 256 => 320",
        "    mounts[0].source: a => b",
        "+ docker:index/container:Container gw-dev-abc123-new",
    ]


class TestRevisions:
    """The description by another commit's own code."""

    def test_of_a_stack_that_it_has(self) -> None:
        found, missing = sources.of_revision("HEAD", "prod")
        assert found is not None
        assert found["target"] == "kubernetes"
        assert missing == ""

    def test_of_one_that_it_lacks(self) -> None:
        assert sources.of_revision("HEAD", "nowhere") == (None, "")

    def test_of_a_revision_that_is_not_here(self) -> None:
        with pytest.raises(Unavailable, match="no revision `nothing`"):
            sources.of_revision("nothing", "dev")

    def test_every_stack_is_looked_at(self) -> None:
        assert {"dev", "staging", "prod"} <= set(sources.changed_stacks("HEAD"))
