"""Backup, restore and recovery, with real data in every store that packages provide.

The order is that of a stack's life: it is filled, saved, damaged and restored in every bad
circumstance, and in the end lost with everything but its repository and its kit.
"""

import json
import os
import re
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.live.clone import Clone, copy_tree
from tests.live.conftest import BACKUP_UID
from tests.live.sentinels import ROWS, Sentinels
from tests.support.waiting import wait_until

_PHRASE = "nine yellow tractors sing at dawn"
_SMALL = "/tmp/small"  # noqa: S108 - in its own container
_PROGRAM = ("python", "-m", "groundwork_backup")
STORES = {"postgres", "redis-cache", "redis-queue", "minio", "alertmanager"}


@pytest.fixture(scope="module")
def saved(safe: Clone) -> dict[str, Any]:
    """What the stores held when the first backup was made."""
    before = Sentinels(safe.outputs()).read()
    safe.ops("backup")
    return before


def inside(clone: Clone, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in the container of backups."""
    return subprocess.run(
        ["docker", "exec", clone.name("backup"), *command],
        capture_output=True,
        text=True,
        check=False,
    )


def kill(clone: Clone, pattern: str) -> None:
    """Kills the container's processes whose command line matches, at once."""
    shown = clone.docker.containers.get(clone.name("backup")).top(ps_args="-o pid,args")
    found = [int(pid) for pid, command in shown["Processes"] if re.search(pattern, command)]
    assert found, shown["Processes"]
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def listed(clone: Clone) -> list[dict[str, Any]]:
    done = inside(clone, *_PROGRAM, "--json", "list")
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line)["backup"] for line in done.stdout.splitlines()]


def test_a_backup_saves_every_store(safe: Clone, saved: dict[str, Any]) -> None:
    (only,) = listed(safe)
    assert set(only["stores"]) == STORES | {"stack"}
    assert (only["failed"], only["partial"]) == ([], False)
    assert re.search(r"1 +│ \d{8}T\d{6}Z-[0-9a-f]{4}", safe.ops("backups").stdout)


def test_nothing_in_the_repository_is_in_the_clear(
    safe: Clone, saved: dict[str, Any], repository: Path
) -> None:
    content = b"".join(path.read_bytes() for path in repository.rglob("*") if path.is_file())
    assert b"sentinel" not in content
    assert b"masterSecret" not in content


def test_a_second_one_of_the_same_data_adds_little(safe: Clone, saved: dict[str, Any]) -> None:
    text = safe.ops("backup").stdout
    added = re.search(r"minio/objects\.tar: ([\d.]+) MiB in [\d.]+ s, ([\d.]+) (\w+) added", text)
    assert added
    assert added[3] in ("B", "KiB"), text
    assert float(added[1]) > 12


def test_the_health_checks_know_of_it(safe: Clone, saved: dict[str, Any]) -> None:
    done = safe.health(safe.outputs(), "tests/health/test_backup.py")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([], r"these stores are not empty.*REPLACE=all"),
        (["--replace", "minio"], r"not empty.*postgres \("),
        (["--at", "2020-01-01"], r"no backup is as old as 2020-01-01; the first is of \d{4}"),
        (["--at", "99"], "there is no backup `99`"),
        (["--only", "mongo"], r"(has no store|no backup of `\w+` has) `?mongo"),
        (["--of", "nobody1"], "there is no backup of `nobody1`"),
    ],
    ids=[
        "not empty",
        "another store is named",
        "before the first",
        "unknown",
        "unknown store",
        "unknown stack",
    ],
)
def test_a_restore_is_refused_before_anything_changes(
    safe: Clone, saved: dict[str, Any], arguments: list[str], why: str
) -> None:
    done = safe.ops("restore", *arguments, check=False)
    assert done.returncode != 0
    assert re.search(why, " ".join(done.stdout.split()))
    assert "Traceback" not in done.stdout
    assert Sentinels(safe.outputs()).read() == saved


def test_damage_is_undone_in_every_store(safe: Clone, saved: dict[str, Any]) -> None:
    """Rows under an index, roles, versions with their ids and times, streams, times to live."""
    sentinels = Sentinels(safe.outputs())
    sentinels.damage()
    assert {store for store, now in sentinels.read().items() if now != saved[store]} == STORES - {
        "alertmanager"
    }
    safe.ops("restore", "--replace", "all")
    assert sentinels.read() == saved


def test_one_store_comes_back_and_the_others_stay_as_they_are(
    safe: Clone, saved: dict[str, Any]
) -> None:
    sentinels = Sentinels(safe.outputs())
    sentinels.damage()
    damaged = sentinels.read()
    safe.ops("restore", "--only", "postgres", "--replace", "postgres")
    now = sentinels.read()
    assert now["postgres"] == saved["postgres"]
    assert now["minio"] == damaged["minio"]
    safe.ops("restore", "--replace", "all")
    assert sentinels.read() == saved


def test_of_two_at_once_one_is_made_and_the_other_says_so(
    safe: Clone, saved: dict[str, Any]
) -> None:
    before = listed(safe)[-1]["sequence"]
    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(lambda _: inside(safe, *_PROGRAM, "run"), range(2)))
    assert sorted(item.returncode for item in done) == [0, 1]
    assert any("a backup (since" in item.stderr for item in done)
    assert listed(safe)[-1]["sequence"] == before + 1


def test_one_that_is_killed_is_never_restored_and_is_removed(
    safe: Clone, saved: dict[str, Any]
) -> None:
    """The last good one is; the next run removes what the killed one left."""
    before = listed(safe)
    with subprocess.Popen(
        ["docker", "exec", safe.name("backup"), *_PROGRAM, "run"], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout
        for line in running.stdout:
            # One stream is saved, and the next one is on its way.
            if " added" in line:
                break
        kill(safe, r"groundwork_backup run|^restic ")
    assert listed(safe) == before
    sentinels = Sentinels(safe.outputs())
    sentinels.damage()
    safe.ops("restore", "--replace", "all")
    assert sentinels.read() == saved
    text = safe.ops("backup").stdout
    assert "that were interrupted" in text


def test_a_store_that_is_down_is_named_and_the_others_are_saved(
    safe: Clone, saved: dict[str, Any]
) -> None:
    container = safe.docker.containers.get(safe.name("redis-cache"))
    container.stop()
    try:
        done = safe.ops("backup", check=False)
        assert done.returncode != 0
        assert "`redis-cache` failed" in done.stdout
        last = listed(safe)[-1]
        assert last["failed"] == ["redis-cache"]
        assert set(last["stores"]) == STORES - {"redis-cache"} | {"stack"}
        told = safe.health(safe.outputs(), "tests/health/test_backup.py")
        assert "test_the_last_backup_saved_every_store" in told.stdout
        assert told.returncode != 0
    finally:
        container.start()
    wait_until(lambda: safe.ready("redis-cache"), timeout=60, reason="redis-cache is ready")
    refused = safe.ops("restore", "--replace", "all", check=False)
    assert "this backup is incomplete: redis-cache" in " ".join(refused.stdout.split())
    safe.ops("restore", "--only", "postgres", "--replace", "postgres")
    assert Sentinels(safe.outputs()).read()["postgres"] == saved["postgres"]
    safe.ops("backup")


def test_a_restore_that_is_killed_can_be_run_again(safe: Clone, saved: dict[str, Any]) -> None:
    sentinels = Sentinels(safe.outputs())
    sentinels.damage()
    restore = ("docker", "exec", safe.name("backup"), *_PROGRAM, "restore", "--replace", "all")
    with subprocess.Popen(restore, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        for line in running.stdout:
            if line.startswith("postgres: restoring"):
                break
        kill(safe, r"groundwork_backup restore|^restic |^pg_restore ")
    safe.ops("restore", "--replace", "all")
    assert sentinels.read() == saved


def test_a_deploy_and_a_backup_at_the_same_time_both_end_well(
    safe: Clone, saved: dict[str, Any]
) -> None:
    safe.configure(redis={"queue": {"memory": "320MiB"}})
    with ThreadPoolExecutor(1) as pool:
        deploying = pool.submit(safe.ops, "up")
        done = safe.ops("backup", check=False)
        deploying.result()
    # The store that was replaced at that moment may have been missed; then that is said.
    assert done.returncode == 0 or re.search(r"`redis-queue` failed|is running", done.stdout)
    assert Sentinels(safe.outputs()).read() == saved
    safe.ops("backup")


def test_damage_in_the_repository_is_found_and_harms_no_store(
    safe: Clone, saved: dict[str, Any], repository: Path
) -> None:
    packs = sorted((repository / "data").rglob("*"), key=lambda path: path.stat().st_size)
    pack = next(path for path in reversed(packs) if path.is_file())
    whole, mode = pack.read_bytes(), pack.stat().st_mode
    pack.chmod(0o600)
    middle = len(whole) // 2
    pack.write_bytes(whole[:middle] + bytes(4096) + whole[middle + 4096 :])
    try:
        done = safe.ops("backup-check", check=False)
        assert done.returncode != 0
        assert pack.name[:8] in done.stdout
        told = safe.health(safe.outputs(), "tests/health/test_backup.py")
        assert "test_the_repositories_are_not_damaged" in told.stdout
        refused = safe.ops("restore", "--replace", "all", check=False)
        assert refused.returncode != 0
        assert "Traceback" not in refused.stdout
        now = Sentinels(safe.outputs()).read()
        assert now["postgres"] == saved["postgres"]
        assert now["minio"] == saved["minio"]
    finally:
        pack.write_bytes(whole)
        pack.chmod(mode)
    safe.ops("backup-check")


def program(
    clone: Clone, configuration: dict[str, Any], *arguments: str, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """The program with another configuration, beside the stack and on its networks."""
    image = clone.docker.containers.get(clone.name("backup")).attrs["Image"]
    file = clone.root.parent / "backup.json"
    file.write_text(json.dumps(configuration))
    file.chmod(0o644)
    file.parent.chmod(0o755)
    command = [
        "docker", "run", "--rm", "--user", f"{BACKUP_UID}:0",
        "--network", f"container:{clone.name('backup')}",
        "--volume", f"{file}:/etc/groundwork/backup.json:ro",
        *options, image, *_PROGRAM, *arguments,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False)


def configuration(clone: Clone) -> dict[str, Any]:
    done = inside(clone, "cat", "/etc/groundwork/backup.json")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_repository_of_another_key_is_refused_with_what_to_do(
    safe: Clone, saved: dict[str, Any], repository: Path
) -> None:
    known = configuration(safe)
    known["repositories"][0]["password"] = "another-key-altogether"
    done = program(safe, known, "list", options=("--volume", f"{repository}:/repository"))
    assert done.returncode == 1
    assert "was made with another key" in done.stderr
    assert "kit" in done.stderr


def test_the_second_repository_restores_when_the_first_is_lost(
    safe: Clone, saved: dict[str, Any]
) -> None:
    known = configuration(safe)
    first = known["repositories"][0]
    second = {**first, "name": "second", "url": "/backup/second"}
    place = safe.docker.volumes.create(
        safe.name("second"), labels={"groundwork.instance": str(safe.instance)}
    )
    options = ("--volume", f"{place.name}:/backup")
    try:
        both = {**known, "repositories": [{**first, "url": "/backup/first"}, second]}
        made = program(safe, both, "run", options=options)
        assert "copied to repository `second`" in made.stdout, made.stdout + made.stderr
        sentinels = Sentinels(safe.outputs())
        sentinels.damage()
        alone = {**known, "repositories": [second]}
        done = program(safe, alone, "restore", "--replace", "all", options=options)
        assert done.returncode == 0, done.stdout + done.stderr
        assert sentinels.read() == saved
    finally:
        place.remove()


def test_a_bucket_holds_a_repository_too(safe: Clone, saved: dict[str, Any]) -> None:
    """MinIO stands for any S3; what it holds itself is another matter."""
    known = configuration(safe)
    minio = next(source for source in known["sources"] if source["kind"] == "minio")
    bucket = {
        **known["repositories"][0],
        "url": f"s3:http://{minio['host']}:{minio['port']}/backups/safe",
        "environment": {
            "AWS_ACCESS_KEY_ID": minio["username"],
            "AWS_SECRET_ACCESS_KEY": minio["password"],
        },
    }
    there = {**known, "repositories": [bucket]}
    options = ("--volume", "/backup")
    made = program(safe, there, "run", "--only", "postgres", options=options)
    assert made.returncode == 0, made.stdout + made.stderr
    sentinels = Sentinels(safe.outputs())
    sentinels.damage()
    arguments = ("restore", "--only", "postgres", "--replace", "postgres")
    done = program(safe, there, *arguments, options=options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert sentinels.read()["postgres"] == saved["postgres"]
    safe.ops("restore", "--replace", "all")
    assert sentinels.read() == saved


def test_a_full_repository_says_so_and_keeps_what_it_has(
    safe: Clone, saved: dict[str, Any]
) -> None:
    """A repository of 24 MB has room for one backup and not for another object of 20."""
    known = {**configuration(safe), "keep": {}}
    room = safe.docker.volumes.create(
        safe.name("small"),
        driver_opts={"type": "tmpfs", "device": "tmpfs", "o": f"size=24m,uid={BACKUP_UID}"},
        labels={"groundwork.instance": str(safe.instance)},
    )
    options = ("--volume", f"{room.name}:/repository", "--volume", "/backup")
    holder = safe.docker.containers.run(
        safe.docker.containers.get(safe.name("backup")).attrs["Image"],
        ["sleep", "infinity"],
        entrypoint=[],
        volumes={room.name: {"bind": "/repository", "mode": "rw"}},
        labels={"groundwork.instance": str(safe.instance)},
        detach=True,
    )
    try:
        made = program(safe, known, "run", options=options)
        assert made.returncode == 0, made.stdout + made.stderr
        holder.exec_run(["sh", "-c", "head -c 12000000 /dev/urandom > /repository/filler"])
        Sentinels(safe.outputs()).more(12 << 20)
        full = program(safe, known, "run", options=options)
        assert full.returncode == 1
        assert "is full; existing backups are not harmed" in full.stdout + full.stderr
        holder.exec_run(["rm", "/repository/filler"])
        entries = program(safe, known, "--json", "list", options=options).stdout.splitlines()
        assert "minio" in json.loads(entries[0])["backup"]["stores"]
        check = program(safe, {**known, "check_subset": "100%"}, "check", options=options)
        assert check.returncode == 0, check.stderr
    finally:
        holder.remove(force=True, v=True)
        room.remove()
        safe.ops("restore", "--replace", "all")
    assert Sentinels(safe.outputs()).read() == saved


def test_a_disk_that_is_full_during_a_restore_harms_nothing(
    safe: Clone, saved: dict[str, Any]
) -> None:
    """New databases are made on a small disk, which the restored rows do not fit."""
    container = safe.docker.containers.get(safe.name("postgres"))
    sentinels = Sentinels(safe.outputs())
    sentinels.damage()
    damaged = sentinels.read()
    assert container.exec_run(["mkdir", _SMALL]).exit_code == 0
    with sentinels.superuser() as db:
        db.execute(f"CREATE TABLESPACE small LOCATION '{_SMALL}'")
        db.execute("ALTER DATABASE template0 SET TABLESPACE small")
    try:
        # Of the 64 MiB of /tmp there is room for an empty database and half a MiB.
        free = "df -Pk /tmp | awk 'NR == 2 {print $4}'"
        script = (
            f"room=$((512 + $(du -sk {_SMALL} | cut -f1)));"
            f" head -c $(($({free}) - room))k /dev/zero > {_SMALL}/filler"
        )
        assert container.exec_run(["sh", "-c", script]).exit_code == 0
        done = safe.ops("restore", "--only", "postgres", "--replace", "postgres", check=False)
        assert done.returncode == 1
        assert "the disk of postgres is full or broken; its databases are as they were" in " ".join(
            done.stdout.split()
        )
        assert sentinels.read() == damaged
        with sentinels.superuser() as db:
            left = db.execute("SELECT datname FROM pg_database WHERE datname LIKE '%restor%'")
            assert left.fetchall() == []
    finally:
        container.exec_run(["rm", "-f", f"{_SMALL}/filler"])
        with sentinels.superuser() as db:
            db.execute("ALTER DATABASE template0 SET TABLESPACE pg_default")
            db.execute("DROP TABLESPACE small")
    safe.ops("restore", "--replace", "all")
    assert sentinels.read() == saved


def test_a_store_that_moves_to_another_version_is_saved_before(
    safe: Clone, saved: dict[str, Any]
) -> None:
    """And once the new version has been healthy, the old one may not open its data."""
    versions, before = safe.root / "infra" / "versions.py", listed(safe)[-1]["sequence"]
    text = versions.read_text()
    newer = text.replace('folder="redis", version="8.0.2"', 'folder="redis", version="8.0.3"')
    assert newer != text
    versions.write_text(newer)
    told = safe.ops("up").stdout
    assert (
        "stores change their version (redis-cache 8.0.2 → 8.0.3, redis-queue 8.0.2 → 8.0.3):"
        " backing up first" in " ".join(told.split())
    )
    assert listed(safe)[-1]["sequence"] == before + 1
    versions.write_text(text)
    back = safe.ops("up", check=False)
    versions.write_text(newer)
    assert back.returncode != 0
    assert "redis-cache 8.0.2 is older than 8.0.3" in " ".join(back.stdout.split())
    assert Sentinels(safe.outputs()).read() == saved


def test_the_drill_restores_beside_the_stack_and_leaves_it_alone(
    safe: Clone, saved: dict[str, Any]
) -> None:
    before, backups = safe.snapshot(), listed(safe)
    text = safe.ops("drill").stdout
    assert "drill of `safe`: passed" in text
    assert re.search(r"recovered after \d+ s", text)
    assert {**safe.snapshot(), "state": 0} == {**before, "state": 0}
    assert listed(safe) == backups
    assert not safe.file.with_name("Pulumi.safe-drill.yaml").exists()
    status = json.loads(inside(safe, "cat", "/backup/state/status.json").stdout)
    assert status["drill"]["good"] is True
    assert Sentinels(safe.outputs()).read() == saved


@pytest.fixture(scope="module")
def kit(safe: Clone, saved: dict[str, Any]) -> Path:
    """The recovery kit."""
    safe.environment["GROUNDWORK_KIT_PHRASE"] = _PHRASE
    path = safe.root.parent / "safe.kit"
    safe.ops("kit", str(path))
    return path


def test_the_kit_is_private_and_opens_with_its_phrase_only(
    safe: Clone, kit: Path, tmp_path: Path
) -> None:
    assert kit.stat().st_mode & 0o777 == 0o600
    assert kit.read_text().startswith("-----BEGIN AGE ENCRYPTED FILE-----")
    before = safe.file.read_text()
    for phrase, why in (("of somebody else entirely", "does not open"), (_PHRASE, "is not a kit")):
        file = kit if phrase != _PHRASE else tmp_path / "notes.txt"
        (tmp_path / "notes.txt").write_text("no kit")
        safe.environment["GROUNDWORK_KIT_PHRASE"] = phrase
        done = safe.ops("recover", str(file), check=False)
        safe.environment["GROUNDWORK_KIT_PHRASE"] = _PHRASE
        assert done.returncode != 0
        assert why in " ".join(done.stdout.split())
        assert safe.file.read_text() == before


def test_everything_lost_comes_back_from_the_repository_and_the_kit(
    safe: Clone, saved: dict[str, Any], kit: Path
) -> None:
    """Containers, volumes, state, passphrase and the clone itself are gone; another clone of the
    project, the kit and its phrase are all that is left beside the repository.
    """
    safe.ops("purge", "--confirm", safe.stack)
    assert safe.volumes() == set()
    shutil.rmtree(safe.root)
    shutil.rmtree(safe.private)
    copy_tree(safe.root)
    safe.ops("recover", str(kit))
    safe.forget()
    safe.ops("up")
    safe.ops("restore")
    assert Sentinels(safe.outputs()).read() == saved
    assert Sentinels(safe.outputs()).rows() == ROWS
