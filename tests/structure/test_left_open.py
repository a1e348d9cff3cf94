"""What the tests hold of every engine, on each Python alike."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from worker.outbox.engine.database import make_engine


def use(file: Path, *, close: bool) -> None:
    """Opens a connection, and lets go of its engine."""
    engine = make_engine(f"sqlite:///{file}")
    with engine.connect():
        pass
    if close:
        engine.dispose()
    del engine
    gc.collect()


def test_a_connection_left_open_warns(tmp_path: Path) -> None:
    """Warnings are errors, so the test that leaves one to the garbage collector fails."""
    with pytest.warns(ResourceWarning, match="unclosed database"):
        use(tmp_path / "left.db", close=False)


def test_a_closed_one_does_not(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """Disposing of the engine is enough."""
    use(tmp_path / "left.db", close=True)

    assert [] == list(recwarn)
