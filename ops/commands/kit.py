"""The recovery kit: one encrypted file with what opens the backups and makes the stack again.

It is an age file (age-encryption.org) under a phrase, so that `age --decrypt` opens it too; inside
is JSON.
"""

import json
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyrage
import typer
import yaml

from infra.configuration import NAMESPACE
from infra.services.backup import repository_key
from ops import console
from ops.paths import ROOT
from ops.stacks import passphrase, private
from ops.stacks.stack import Stack, interactive, open_stack

_FORMAT = 1
_PHRASE = "GROUNDWORK_KIT_PHRASE"
_SHORTEST, _WORDS = 20, 5


def write(path: Path | None) -> None:
    """Writes the kit of the stack that STACK names, readable by its owner only (0600)."""
    _write(open_stack(), path)


def offer(stack: Stack) -> None:
    """Asks once, at a terminal, whether to write the kit now."""
    asked = _record(stack).with_suffix(".kit-asked")
    if _record(stack).exists() or asked.exists() or not interactive():
        return
    asked.touch()
    if typer.confirm("Write the recovery kit now?"):
        try:
            _write(stack, None)
        except console.Failed as failed:
            # The stack is deployed all the same.
            console.err.print(f"{failed.what}: {failed.fix}", markup=False)


def _write(stack: Stack, path: Path | None) -> None:
    content = stack.file.read_text() if stack.file.exists() else ""
    known = yaml.safe_load(content) or {}
    if f"{NAMESPACE}:masterSecret" not in (known.get("config") or {}):
        raise console.Failed(
            f"the stack `{stack.name}` has no master secret yet", f"make up STACK={stack.name}"
        )
    if "encryptionsalt" not in known:
        raise console.Failed(
            f"{stack.file.name} is encrypted by a key service, not by a passphrase: a kit could not"
            " open it",
            "keep access to that service instead, or `pulumi stack change-secrets-provider"
            " passphrase`",
        )
    master = stack.master()
    kit = {
        "format": _FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "stack": stack.name,
        "instance": known["config"][f"{NAMESPACE}:instance"],
        "file": content,
        "passphrase": passphrase.text_of(stack.environment),
        "masterSecret": master.reveal(),
        "repository": {"password": repository_key(master).reveal(), **_place(known["config"])},
    }
    target = path or Path.home() / f"groundwork-{stack.name}-{kit['instance']}.kit"
    if target.exists():
        raise console.Failed(f"{target} exists", "move it away, or name another file with KIT=")
    text = json.dumps(kit, indent=1).encode()
    sealed = pyrage.passphrase.encrypt(text, _phrase(new=True), armored=True)
    private.write(target, sealed.decode())
    _record(stack).touch()
    console.out.print(
        f"The recovery kit is in {target} (0600). Keep it away from this machine: with it and the"
        " phrase anyone can open the backups; without it, nobody once this machine is lost."
    )


def recover(path: Path) -> None:
    """Makes a stack's file and passphrase again from a kit; nothing is deployed."""
    kit = _opened(path)
    file = ROOT / f"Pulumi.{kit['stack']}.yaml"
    config = (yaml.safe_load(file.read_text()) or {}).get("config") or {} if file.exists() else {}
    present = config.get(f"{NAMESPACE}:instance")
    if present is not None and present != kit["instance"]:
        raise console.Failed(
            f"{file.name} is of another stack (instance {present}, the kit is of"
            f" {kit['instance']}); nothing was changed",
            "move it away, or recover in a fresh clone",
        )
    place = passphrase.keep(kit["stack"], kit["passphrase"])
    file.write_text(kit["file"])
    console.out.print(
        f"{file.name} is as it was on {kit['made'][:10]}; its passphrase is in {place} (0600).\n"
        f"Next: `make up STACK={kit['stack']}`, then `make restore STACK={kit['stack']}`."
    )


def reminder(stack: Stack) -> str | None:
    """A sentence for the summary, until the kit has been written."""
    if _record(stack).exists():
        return None
    suffix = "" if stack.name == "dev" else f" STACK={stack.name}"
    return (
        "There is no recovery kit yet: if this machine is lost, nothing opens the backups. Run"
        f" `make kit{suffix}` and keep the file elsewhere."
    )


def _record(stack: Stack) -> Path:
    instance = stack.config().get(f"{NAMESPACE}:instance")
    return private.folder() / f"{stack.name}-{instance}.kit-written"


def _place(config: Mapping[str, Any]) -> dict[str, Any]:
    """Where the backups are, as far as the stack's file says it in the clear."""
    backup = config.get(f"{NAMESPACE}:backup") or {}
    named = {
        name: {key: value for key, value in backup[name].items() if isinstance(value, str)}
        for name in ("repository", "second")
        if isinstance(backup.get(name), dict)
    }
    return {"places": named or "a volume of the stack"}


def _opened(path: Path) -> dict[str, Any]:
    try:
        sealed = path.read_bytes()
    except OSError as error:
        raise console.Failed(
            f"{path} cannot be read ({type(error).__name__})", "name the kit's file with KIT="
        ) from None
    phrase = _phrase(new=False)
    try:
        kit: dict[str, Any] = json.loads(pyrage.passphrase.decrypt(sealed, phrase))
    except pyrage.DecryptError as error:
        damaged = "decrypt" not in str(error).lower()
        raise console.Failed(
            f"{path.name} is not a kit, or damaged"
            if damaged
            else f"the phrase does not open {path.name}; nothing was changed",
            "give the phrase with which the kit was written, as it was typed",
        ) from None
    if kit.get("format") != _FORMAT:
        raise console.Failed(
            f"{path.name} has format {kit.get('format')}, which this version cannot read",
            "use the version of Groundwork that wrote it, or a newer one",
        )
    return kit


def _phrase(*, new: bool) -> str:
    phrase = os.environ.get(_PHRASE)
    if phrase is None:
        if not sys.stdin.isatty():
            raise console.Failed(
                "the kit's phrase is asked for, but there is no terminal",
                f"set {_PHRASE} in the environment",
            )
        phrase = str(typer.prompt("Phrase of the kit", hide_input=True, confirmation_prompt=new))
    if new and len(phrase) < _SHORTEST and len(re.findall(r"\w+", phrase)) < _WORDS:
        raise console.Failed(
            f"this phrase is too short for a file that opens everything: {len(phrase)} characters",
            f"use {_SHORTEST} characters or more, or {_WORDS} words",
        )
    return phrase
