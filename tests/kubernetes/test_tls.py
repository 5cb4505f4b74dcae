"""TLS between pods: what requires it is asked by its name in the cluster, and serves its data."""

import pytest

from tests.kubernetes.conftest import Deployment, changed


def test_a_platform_moves_to_tls(deployed: Deployment) -> None:
    """Every check passes, those that try without it too, and the data are there."""
    deployed.sql("CREATE TABLE IF NOT EXISTS moved (value int); INSERT INTO moved VALUES (42)")
    keys = {
        name: {**deployed.keys.get(name, {}), "tls": True}
        for name in ("postgres", "redis", "minio", "litellm", "alloy")
    }
    other = changed(deployed, **keys)
    deployed.keys = other.keys
    deployed.installer.install(deployed.plan())
    done = deployed.health("tests/health", "-m", "not deep")
    assert done.returncode == 0, done.stdout[-6000:]
    tried = deployed.health("tests/health", "-k", "is_not_encrypted")
    assert "4 passed" in tried.stdout, "of both instances of Redis, and two of Alloy"
    assert deployed.sql("SELECT value FROM moved") == "42"


@pytest.mark.parametrize(
    ("mode", "said"),
    [("verify-full", "t"), ("disable", "no encryption\n")],
    ids=["with", "without"],
)
def test_pods_ask_postgres_by_its_name(deployed: Deployment, mode: str, said: str) -> None:
    """The checks come by a forward, which arrives within the pod."""
    password = deployed.outputs()["credentials"]["postgres"]["superuser"]
    at = f"host=postgres user=postgres sslmode={mode} sslrootcert=/etc/groundwork/ca.pem"
    ask = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    told = deployed.execute(
        "backup-0", f'PGPASSWORD={password} psql -X -At "{at}" -c "{ask}" 2>&1 || true'
    )
    assert (told == said) if mode == "verify-full" else (said.strip() in told)
