"""The package root: everything an application imports, and nothing loaded before it is asked for."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import bench.__main__ as bench_main
import worker
from bench import Figure
from worker.channels import registry
from worker.config.channels import REGISTRY
from worker.domain.errors import ConfigurationError


def test_every_name_of_the_door_is_there() -> None:
    """`__all__` is what can be imported, each under its own name."""
    for name in worker.__all__:
        assert getattr(worker, name) is not None
        assert name in dir(worker)
    doors = {entry.public_module for entry in REGISTRY.values() if entry.public_module}
    assert doors == {name for name in worker.__all__ if inspect.ismodule(getattr(worker, name))}


def test_a_wrong_name_is_an_attribute_error() -> None:
    """As with any module."""
    with pytest.raises(AttributeError, match="no attribute 'enqeue'"):
        worker.enqeue  # noqa: B018 - the look-up is the test


@pytest.mark.slow("starts an interpreter")
def test_importing_the_door_loads_nothing() -> None:
    """`import worker` costs no SQLAlchemy, no pydantic, no Celery; `enqueue` costs no Celery and no requests.

    Before its first job it costs nothing that reads settings, logs or knows the tables, either.
    """
    code = (
        "import sys, worker\n"
        "assert not {'sqlalchemy', 'pydantic', 'celery', 'requests'} & set(sys.modules), 'import worker'\n"
        "late = {'celery', 'kombu', 'requests', 'alembic', 'sqlalchemy.ext.asyncio'}\n"
        "late |= {'structlog', 'pydantic_settings', 'worker.outbox.tables', 'worker.channels.wecom_app.channel'}\n"
        "worker.enqueue, worker.Text\n"
        "assert not late & set(sys.modules), 'enqueue'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_wrong_channel_is_told_the_right_ones() -> None:
    """A ConfigurationError lists the channels."""
    assert registry.channel("wecom_app").name == "wecom_app"
    with pytest.raises(ConfigurationError, match="use one of wecom_app"):
        registry.channel("fake")


def test_benches_are_listed_and_run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`list` is 0, no name or a wrong one 2 with the list; a figure is one line and decides the status."""
    assert bench_main.main(["list"]) == 0
    assert bench_main.main([]) == 2
    assert bench_main.main(["nothing"]) == 2
    assert "  enqueue" in capsys.readouterr().out.splitlines()
    for ok, status, word in ((True, 0, "ok"), (False, 1, "short")):
        figure = Figure("enqueue", "0.9", "0.5", ok)
        monkeypatch.setattr("bench.enqueue.main", lambda _, figure=figure: figure)
        assert status == bench_main.main(["enqueue"])
        assert f"enqueue: 0.9 (goal 0.5) {word}" == capsys.readouterr().out.splitlines()[-1]
