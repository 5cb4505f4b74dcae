"""Compares two descriptions of a stack. Pure: what would happen follows from them and from what
the targets are known to do.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from infra.description import FORMAT, totals
from infra.targets.checks import version_tuple
from infra.units import format_size
from ops.review.findings import Delta, Finding, Review, Severity

Description = Mapping[str, Any]

# Seconds between a container's replacement and its first healthy answer: `make up` prints them, and
# docs/benchmarks.md says on which machine. A stack's own times are taken first.
SECONDS: Mapping[str, float] = {
    "clickhouse": 10,
    "grafana": 10,
    "litellm": 11,
    "loki": 16,
    "minio": 3,
    "postgres": 4,
    "prometheus": 6,
    "qdrant": 5,
    "redis-cache": 3,
    "redis-queue": 3,
    "tempo": 6,
}
_OTHERS = 5.0


def compare(
    before: Description | None,
    after: Description,
    *,
    compared_with: str,
    seconds: Mapping[str, float] | None = None,
) -> Review:
    """The review of a change. Without a description of before all is new."""
    unknown: list[str] = []
    if before is not None and before.get("format") != FORMAT:
        unknown.append("the description of before is of another format, so all looks new")
        before = None
    old: Mapping[str, Any] = before["services"] if before else {}
    new: Mapping[str, Any] = after["services"]
    expected = {**SECONDS, **(seconds or {})}
    findings = sorted(
        [
            *(_of_the_stack(before, after) if before else ()),
            *_removed(old, new, after),
            *(
                finding
                for name in sorted(old.keys() & new.keys())
                for finding in _of_a_service(name, old[name], new[name], after, expected)
            ),
        ],
        key=lambda item: item.severity,
    )
    same = before is not None and before["target"] == after["target"]
    return Review(
        stack=after["stack"],
        target=after["target"],
        compared_with=compared_with,
        findings=tuple(findings),
        created=tuple(sorted(new.keys() - old.keys())),
        deleted=tuple(sorted(old.keys() - new.keys())),
        changed=tuple(
            name for name in sorted(old.keys() & new.keys()) if same and old[name] != new[name]
        ),
        totals=_deltas(before, after),
        costs=_costs(before, after),
        currency=str(after["settings"].get("prices.currency") or ""),
        rotated=tuple(_rotated(before, after)) if before else (),
        versions=tuple(_versions(old, new)),
        relaxed=tuple(after["policies"]["relaxed"]),
        settings=tuple(_settings(before, after)) if before else (),
        unknown=tuple(unknown),
    )


def _of_the_stack(before: Description, after: Description) -> Iterator[Finding]:
    if before["target"] != after["target"]:
        yield Finding(
            severity=Severity.LOSS,
            subject="groundwork:target",
            text=(
                f"the stack moves from {before['target']} to {after['target']}: every service"
                " starts there without data; what it has stays behind"
            ),
        )
    if before["instance"] != after["instance"] and "unknown" not in (
        before["instance"],
        after["instance"],
    ):
        yield Finding(
            severity=Severity.LOSS,
            subject="groundwork:instance",
            text="every resource gets another name, so every service starts on empty volumes",
            fix="put the previous instance back",
        )
    master = "groundwork:masterSecret"
    if master in before["secrets"] and before["secrets"][master] != after["secrets"].get(master):
        yield Finding(
            severity=Severity.LOSS,
            subject=master,
            text=(
                "the master secret was set again: unless its value is the same, no service opens"
                " its data, and the deploy is refused"
            ),
            fix="put the previous one back; single secrets rotate by their generation",
        )
    for index, name in _dropped_buckets(before, after):
        yield Finding(
            severity=Severity.INTERRUPTION,
            subject=f"groundwork:minio.buckets[{index}]",
            text=f"bucket `{name}` is closed to applications; its objects are kept",
        )
    yield from _of_tls(before, after)
    dimensions = "postgres.vectors.dimensions"
    old, new = before["settings"].get(dimensions), after["settings"].get(dimensions)
    if old != new and old is not None:
        yield Finding(
            severity=Severity.LOSS,
            subject=f"groundwork:{dimensions}",
            text=f"rows of {old} dimensions do not fit a table of {new}: if there are any, the"
            " deploy fails and leaves them as they are",
            fix="store the new vectors in another table, or delete the rows first",
        )


def _of_tls(before: Description, after: Description) -> Iterator[Finding]:
    """Clients that are not changed at the same time are cut off for good."""
    old, new = before["settings"], after["settings"]
    again = "deploy, then run `make env` and restart the applications with it"
    stays = {name for name in _groups(before) & _groups(after) if f"{name}.tls" in new}
    encrypted = {name for name in stays if old.get(f"{name}.tls") and new[f"{name}.tls"]}
    for name in sorted(stays):
        now = new[f"{name}.tls"]
        if now != old.get(f"{name}.tls", False):
            yield Finding(
                severity=Severity.INTERRUPTION,
                subject=f"groundwork:{name}.tls",
                text=(
                    "clients are refused until they use TLS and trust the stack's authority"
                    if now
                    else "clients that use TLS are refused until they do without"
                ),
                fix=again,
            )
    generation = "tls.generation"
    if encrypted and old.get(generation, 1) != new.get(generation, 1):
        yield Finding(
            severity=Severity.INTERRUPTION,
            subject=f"groundwork:{generation}",
            text=(
                "another authority signs every certificate: clients refuse them until they trust it"
            ),
            fix=again,
        )
    for name in sorted(_tls_names(old) - _tls_names(new)) if encrypted else ():
        yield Finding(
            severity=Severity.INTERRUPTION,
            subject="groundwork:tls.names",
            text=f"clients that know a service as {name} refuse its certificate",
            fix="keep the name until they know another",
        )


def _tls_names(settings: Mapping[str, Any]) -> set[str]:
    return {str(value) for key, value in settings.items() if key.startswith("tls.names[")}


def _groups(description: Description) -> set[str]:
    """The groups of settings that have a service."""
    keys = (str(service["key"]) for service in description["services"].values())
    return {key.removeprefix("groundwork:").partition(".")[0] for key in keys}


def _dropped_buckets(before: Description, after: Description) -> Iterator[tuple[str, str]]:
    def names(description: Description) -> dict[str, str]:
        return {
            str(value): key.removeprefix("minio.buckets[").partition("]")[0]
            for key, value in description["settings"].items()
            if key.startswith("minio.buckets[") and key.endswith("].name")
        }

    kept = names(after)
    yield from ((index, name) for name, index in names(before).items() if name not in kept)


def _removed(
    old: Mapping[str, Any], new: Mapping[str, Any], after: Description
) -> Iterator[Finding]:
    for name in sorted(old.keys() - new.keys()):
        volumes = ", ".join(f"`{volume}`" for volume in sorted(old[name]["volumes"]))
        why = after["leftOut"].get(name)
        yield Finding(
            severity=Severity.LOSS if volumes else Severity.INTERRUPTION,
            subject=name,
            text=f"`{name}` is removed"
            + (f" ({why})" if why else "")
            + (f"; its data in {volumes} is kept, out of reach, until a purge" if volumes else ""),
        )


def _of_a_service(
    name: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    after: Description,
    seconds: Mapping[str, float],
) -> Iterator[Finding]:
    yield from _version(name, old, new, saved="backup" in after["services"])
    for volume in sorted(old["volumes"].keys() - new["volumes"].keys()):
        yield Finding(
            severity=Severity.REFUSED if after["protect"] else Severity.LOSS,
            subject=name,
            text=f"volume `{volume}` is no longer mounted"
            + (": refused, it is protected" if after["protect"] else "; it is kept, out of reach"),
        )
    for volume in sorted(old["volumes"].keys() & new["volumes"].keys()):
        if new["volumes"][volume] < old["volumes"][volume]:
            yield Finding(
                severity=Severity.REFUSED if after["target"] == "kubernetes" else Severity.CHANGE,
                subject=f"{new['key']}.disk",
                text=f"volume `{volume}` cannot shrink from"
                f" {format_size(old['volumes'][volume])} to {format_size(new['volumes'][volume])}"
                + ("" if after["target"] == "kubernetes" else ": Docker does not enforce it"),
                fix="leave it as it is",
            )
    if old["replicas"] != new["replicas"]:
        yield Finding(
            severity=Severity.CHANGE,
            subject=name,
            text=f"`{name}` scales from {old['replicas']} to {new['replicas']} replicas",
        )
    replaced = old["container"] != new["container"]
    reloaded = old["liveFiles"] != new["liveFiles"]
    if replaced or (reloaded and after["target"] == "kubernetes"):
        yield _replaced(name, new, after, seconds)
    elif reloaded:
        yield Finding(
            severity=Severity.CHANGE,
            subject=name,
            text=f"`{name}` reads its files again; its clients stay connected",
        )
    for job in sorted(new["jobs"]):
        if not replaced and old["jobs"].get(job) != new["jobs"][job]:
            yield Finding(
                severity=Severity.CHANGE,
                subject=job,
                text=f"`{job}` runs again; it is idempotent",
            )


def _replaced(
    name: str, new: Mapping[str, Any], after: Description, seconds: Mapping[str, float]
) -> Finding:
    taken = seconds.get(name, _OTHERS)
    kept = "its volume is kept, " if new["volumes"] else ""
    if after["target"] == "kubernetes" and new["replicas"] > 1:
        return Finding(
            severity=Severity.CHANGE,
            subject=name,
            text=f"`{name}` is rolled, pod by pod: {kept}its {new['replicas']} replicas take turns",
        )
    verb = "is rolled" if after["target"] == "kubernetes" else "is replaced"
    return Finding(
        severity=Severity.INTERRUPTION,
        subject=name,
        text=f"`{name}` {verb}: {kept}clients are cut off for about {taken:.0f} s",
    )


def _version(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any], *, saved: bool
) -> Iterator[Finding]:
    was, becomes = version_tuple(old["version"]), version_tuple(new["version"])
    if not new["volumes"] or was == becomes:
        return
    if new["kind"] == "postgres" and was[:1] != becomes[:1]:
        yield Finding(
            severity=Severity.REFUSED,
            subject=name,
            text=f"Postgres {becomes[0]} cannot open the data directory of {was[0]}",
            fix="`make upgrade-postgres` moves the data",
        )
    elif becomes < was:
        yield Finding(
            severity=Severity.REFUSED,
            subject=name,
            text=f"{new['version']} is older than {old['version']}, which has opened its volume",
            fix="keep the version, or restore a backup into a new stack",
        )
    else:
        yield Finding(
            severity=Severity.LOSS,
            subject=name,
            text=(
                f"`{name}` moves up from {old['version']} to {new['version']}; once it has opened"
                " its volume the only way back is "
                + (
                    "the backup that `make up` makes before"
                    if saved
                    else "a backup, and this stack makes none"
                )
            ),
        )


def _versions(
    old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[str, str, str, bool]]:
    """(service, from, to, whether a store moves)."""
    for name in sorted(old.keys() & new.keys()):
        if old[name]["image"] != new[name]["image"]:
            was, becomes = _tag(old[name]), _tag(new[name])
            yield (
                name,
                was,
                becomes,
                bool(new[name]["volumes"]) and (old[name]["version"] != new[name]["version"]),
            )


def _tag(service: Mapping[str, Any]) -> str:
    name, _, digest = str(service["image"]).partition("@sha256:")
    return f"{name.rpartition('/')[2]}{f' ({digest[:12]})' if digest else ''}"


def _rotated(before: Description, after: Description) -> Iterator[str]:
    """Secrets that were set again, and those whose derivation changed, by name."""
    for key in sorted(before["secrets"].keys() & after["secrets"].keys()):
        if before["secrets"][key] != after["secrets"][key]:
            yield f"{key} (set again)"
    for key in sorted(after["secrets"].keys() - before["secrets"].keys()):
        yield f"{key} (new)"
    for key in sorted(before["secrets"].keys() - after["secrets"].keys()):
        yield f"{key} (removed)"
    old, new = before["services"], after["services"]
    for name in sorted(old.keys() & new.keys()):
        for purpose in sorted(old[name]["secrets"].keys() & new[name]["secrets"].keys()):
            if old[name]["secrets"][purpose] != new[name]["secrets"][purpose]:
                yield f"{name}: {purpose} (rotated)"


def _settings(before: Description, after: Description) -> Iterator[tuple[str, str, str]]:
    old, new = before["settings"], after["settings"]
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield f"groundwork:{key}", _shown(old.get(key)), _shown(new.get(key))


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _deltas(before: Description | None, after: Description) -> dict[str, Delta]:
    new = totals(after)
    old = totals(before) if before else dict.fromkeys(new, 0.0)
    return {name: Delta(before=old[name], after=new[name]) for name in new}


def _costs(before: Description | None, after: Description) -> Delta | None:
    """What the totals cost a month at the configured prices; None without any."""
    prices = {
        name: after["settings"].get(f"prices.{key}")
        for name, key in (("memory", "memoryGib"), ("cpus", "core"), ("disk", "diskGib"))
    }
    if not any(prices.values()):
        return None

    def cost(description: Description | None) -> float:
        if description is None:
            return 0.0
        found = totals(description)
        units = {"memory": 1024**3, "cpus": 1, "disk": 1024**3}
        return sum(found[name] / units[name] * (prices[name] or 0) for name in found)

    return Delta(before=cost(before), after=cost(after))


def summary(reviews: Sequence[Review]) -> str:
    """One line about several stacks."""
    refused = [review.stack for review in reviews if review.refused]
    changed = [review.stack for review in reviews if not review.empty and not review.refused]
    parts = [
        f"refused: {', '.join(refused)}" if refused else "",
        f"changed: {', '.join(changed)}" if changed else "",
    ]
    return "; ".join(filter(None, parts)) or "nothing changes"
