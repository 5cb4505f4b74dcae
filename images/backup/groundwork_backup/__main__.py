"""The command line, for the container's own process and for `make backup` and its relatives."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import NoReturn

import httpx
import psycopg
import redis

from groundwork_backup import config as configuration
from groundwork_backup import manifests, restoring, runs, status
from groundwork_backup.config import Config
from groundwork_backup.failure import Failed, told
from groundwork_backup.stores import kinds, stack


def main(arguments: Sequence[str]) -> None:
    """Runs one command. Exit status 1 is a known failure, which has been told."""
    options = _parser().parse_args(arguments)
    # A stop is told to what runs, such as restic, and ends it in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        options.command(configuration.load(), options)
    except Failed as failed:
        _end(options, failed)
    except (OSError, ConnectionError, httpx.HTTPError, psycopg.Error, redis.RedisError) as error:
        _end(options, Failed(told(error), "check that all stores are healthy (`make health`)"))


def _end(options: argparse.Namespace, failed: Failed) -> NoReturn:
    if options.json:
        print(json.dumps({"failed": failed.what, "fix": failed.fix}), flush=True)
    else:
        print(f"{failed.what}\n  fix: {failed.fix}", file=sys.stderr, flush=True)
    sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="groundwork_backup", description=__doc__)
    parser.add_argument("--json", action="store_true", help="tell results as JSON lines")
    commands = parser.add_subparsers(required=True)
    commands.add_parser("serve").set_defaults(command=_serve)
    run = commands.add_parser("run")
    run.add_argument("--only", type=_names, default=[])
    run.set_defaults(command=_run)
    listing = commands.add_parser("list")
    listing.add_argument("--of", default="")
    listing.set_defaults(command=_list)
    restore = commands.add_parser("restore")
    restore.add_argument("--at", default=restoring.LATEST)
    restore.add_argument("--of", default="")
    restore.add_argument("--only", type=_names, default=[])
    restore.add_argument("--replace", type=_names, default=[])
    restore.set_defaults(command=_restore)
    check = commands.add_parser("check")
    check.add_argument("--subset", default="", help="how much of the data to read, such as 100%%")
    check.set_defaults(command=_check)
    commands.add_parser("keep-stack").set_defaults(command=_keep_stack)
    drill = commands.add_parser("keep-drill")
    drill.add_argument("--seconds", type=float, required=True)
    drill.add_argument("--failed", action="store_true")
    drill.set_defaults(command=_keep_drill)
    dump = commands.add_parser("dump")
    dump.add_argument("store")
    dump.add_argument("item")
    dump.set_defaults(command=_dump)
    return parser


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _serve(config: Config, _: argparse.Namespace) -> None:
    from groundwork_backup.serve import serve

    serve(config)


def _run(config: Config, options: argparse.Namespace) -> None:
    manifest = runs.back_up(config, _say(options), only=options.only)
    _tell(options, {"manifest": asdict(manifest)})
    if manifest.failed:
        raise Failed(
            f"backup {manifest.run} is incomplete: {runs.names(manifest.failed)} failed",
            "the reasons are above; the other stores are saved",
        )


def _list(config: Config, options: argparse.Namespace) -> None:
    entries = manifests.listed(runs.repositories(config)[0], options.of or config.stack)
    for entry in entries:
        about = {**asdict(entry), "started": entry.started.isoformat()}
        if options.json:
            _tell(options, {"backup": about})
        else:
            print(f"{entry.sequence:>5}  {entry.run}  {entry.started:%Y-%m-%d %H:%M:%S}")


def _restore(config: Config, options: argparse.Namespace) -> None:
    wanted = restoring.Wanted(
        at=options.at, of=options.of, only=options.only, replace=options.replace
    )
    done = restoring.restore(config, wanted, _say(options))
    for item in done:
        _tell(options, {"restored": asdict(item)})


def _check(config: Config, options: argparse.Namespace) -> None:
    """Damage is what a repository that can be opened and listed fails on."""
    damaged = []
    with runs.alone(config, "check"):
        status.checking(config)
        for restic in runs.repositories(config):
            name = restic.repository.name
            restic.unlock()
            restic.snapshots()
            try:
                restic.check(options.subset or config.check_subset)
            except Failed as failure:
                damaged.append(f"repository `{name}` is damaged: {failure.what}")
                status.checked(config, name, good=False)
            else:
                _say(options)(f"repository `{name}`: no damage found")
                status.checked(config, name, good=True)
    if damaged:
        raise Failed(
            "; ".join(damaged),
            "`restic repair` saves what is whole (restic.readthedocs.io, Troubleshooting); then"
            " run `make backup`",
        )


def _keep_stack(config: Config, _: argparse.Namespace) -> None:
    status.write(stack.kept(config.folder), json.load(sys.stdin))


def _keep_drill(config: Config, options: argparse.Namespace) -> None:
    status.drilled(config, good=not options.failed, seconds=options.seconds)


def _dump(config: Config, options: argparse.Namespace) -> None:
    """Called by restic; what goes wrong is left for the run, which tells it."""
    store = kinds.store(config, config.source(options.store))
    out = os.fdopen(sys.stdout.fileno(), "wb", closefd=False)
    try:
        facts = store.dump(options.item, out)
        out.flush()
    except Exception as error:
        runs.leave_facts({"error": told(error)})
        sys.exit(1)
    runs.leave_facts(facts)


def _say(options: argparse.Namespace) -> runs.Say:
    def say(text: str) -> None:
        print(json.dumps({"says": text}) if options.json else text, flush=True)

    return say


def _tell(options: argparse.Namespace, message: dict[str, object]) -> None:
    if options.json:
        print(json.dumps(message), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
