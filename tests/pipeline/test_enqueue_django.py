"""Jobs enqueued on Django's own connection: committed with Django's transaction, or not at all."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.fewer_databases("Django's driver of MariaDB is another one (mysqlclient), which needs a compiler")
@pytest.mark.parametrize("address", ["sqlite_url", pytest.param("postgres_url", marks=pytest.mark.postgres)])
@pytest.mark.slow("starts Django in a process of its own")
def test_jobs_end_with_djangos_transaction(address: str, request: pytest.FixtureRequest) -> None:
    """Commit, rollback, savepoint, the session's own rollback, and a connection that Django made anew."""
    url = request.getfixturevalue(address)

    command = [sys.executable, "-W", "error", "-m", "tests.pipeline.django_application", url]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    texts = [json.loads(line)["body"]["text"]["content"] for line in done.stdout.splitlines()]
    assert texts == ["committed", "over a new connection", "and one more"]
