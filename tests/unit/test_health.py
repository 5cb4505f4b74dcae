"""What health checks of services that cannot be had here do before they reach one: warnings of
their clients fail them too.
"""

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import OperationalError
from qdrant_client import QdrantClient

from tests.health.conftest import UNENCRYPTED


@UNENCRYPTED
def test_qdrants_client_is_made_without_a_warning() -> None:
    QdrantClient(
        url="http://127.0.0.1:1", api_key="a-key", prefer_grpc=False, check_compatibility=False
    ).close()


def test_clickhouses_client_is_made_without_a_warning() -> None:
    with pytest.raises(OperationalError):
        clickhouse_connect.get_client(
            host="127.0.0.1", port=1, username="app", password="a-password"
        )
