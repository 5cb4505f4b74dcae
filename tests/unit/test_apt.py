"""The distribution's packages: what the machine's sources offer."""

import pytest

from ops import console
from ops.build import apt

_NONE = "docker-ce:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n"
_SOME = "docker-ce:\n  Installed: (none)\n  Candidate: 5:29.9.3-1~debian.12\n"


@pytest.mark.parametrize(
    ("policy", "offered"),
    [("", False), (_NONE, False), (_SOME, True)],
    ids=["unknown", "known by its dependents only", "offered"],
)
def test_a_package_is_offered_if_it_has_a_candidate(
    policy: str, offered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "run", lambda _: policy)
    assert apt.offers("docker-ce") is offered
