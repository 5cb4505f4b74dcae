"""Go modules: programs share the versions of what they are compiled from."""

import re
from pathlib import Path

import pytest

from ops.build import golang
from ops.development import go_modules

# Most of what several programs compile; the whole is compared by `make lock`.
_HEAVY = (
    "github.com/envoyproxy/go-control-plane/envoy",
    "github.com/klauspost/compress",
    "go.opentelemetry.io/otel",
    "golang.org/x/crypto",
    "golang.org/x/net",
    "golang.org/x/sys",
    "golang.org/x/text",
    "google.golang.org/grpc",
    "google.golang.org/protobuf",
    "k8s.io/api",
    "k8s.io/client-go",
)


def _required(folder: Path) -> dict[str, str]:
    text = (folder / "go.mod").read_text()
    replaced = set(re.findall(r"^(?:replace |\t)(\S+)(?: \S+)? => ", text, re.M))
    found = re.findall(r"^(?:require |\t)(\S+) (v\S+)(?: // indirect)?$", text, re.M)
    return {module: version for module, version in found if module not in replaced}


@pytest.mark.parametrize("module", _HEAVY)
def test_programs_share_one_version(module: str) -> None:
    """A second version is compiled besides the first, in every build from nothing."""
    found: dict[str, list[str]] = {}
    for program, folder in go_modules.folders().items():
        version = _required(folder).get(module)
        if version and go_modules.shares(program, module):
            found.setdefault(version, []).append(program)
    assert len(found) == 1, found


@pytest.mark.parametrize(("program", "folder"), go_modules.folders().items())
def test_what_takes_the_place_of_a_module_lies_beside_it(program: str, folder: Path) -> None:
    """A replacement by a folder of ours exists, and is part of what names the built program."""
    text = (folder / "go.mod").read_text()
    ours = re.findall(r"=> \./(\S+)", text)
    assert [path for path in ours if not (folder / path / "go.mod").exists()] == []


def test_a_changed_replacement_is_built_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module a\n")
    (tmp_path / "absent").mkdir()
    (tmp_path / "absent" / "a.go").write_text("package a\n")
    before = golang.place(tmp_path)
    (tmp_path / "absent" / "a.go").write_text("package a // changed\n")
    assert golang.place(tmp_path) != before


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("v1.9.0", "v1.10.0"),
        ("v1.0.0-rc.9", "v1.0.0-rc.10"),
        ("v1.0.0-rc.10", "v1.0.0"),
        ("v1.36.12-0.20260116114154-8c4c4ae446ca", "v1.36.12"),
        ("v0.0.0-20241105132330-32ad38e42d3f", "v0.0.0-20260721132016-d427ff9ee9ad"),
        ("v1.0.0-alpha.1", "v1.0.0-beta"),
    ],
)
def test_versions_are_ordered_as_semver_orders_them(older: str, newer: str) -> None:
    assert go_modules.order(older) < go_modules.order(newer)
