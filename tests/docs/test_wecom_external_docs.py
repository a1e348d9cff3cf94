"""docs/wecom-external.md: its examples run as they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

import worker
from tests.support.producing import an_engine
from worker.channels.wecom_external.channel import WecomExternal

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "wecom-external.md").read_text(encoding="utf-8")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
SALES = worker.Account(
    "sales", "wecom_external", "http://127.0.0.1:8081", {"corpid": "ww0000000000000000"}, allow_everyone=True
)


@pytest.fixture
def namespace(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the page's examples leave: run one after another in a folder with their picture."""
    (tmp_path / "poster.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    worker.configure(worker.FixedAccounts([SALES]))
    engine = an_engine(database_url)
    with Session(engine) as session:
        names: dict[str, Any] = {"session": session, "File": worker.File, "enqueue": worker.enqueue}
        for block in re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL):
            exec(compile(block, "docs/wecom-external.md", "exec"), names)
        session.commit()
        yield names
    worker.configure(None)
    engine.dispose()


def test_every_example_can_be_enqueued(namespace: dict[str, Any]) -> None:
    """Also what no example sends; each follow-up finds its send."""
    session = namespace["session"]
    other = worker.enqueue(session, "sales", namespace["other"], worker.Customers({"chenmo": ["wm1"]}))
    session.commit()

    kinds = [worker.get_job(session, namespace[name].id).kind for name in ("following", "nudge", "cancelled")]
    assert kinds == ["track", "remind", "recall"]
    assert [len(worker.get_job(session, job.id).parts) for job in namespace["jobs"]] == [2, 1, 1, 1]
    assert worker.get_job(session, other.id).kind == "send"
    assert namespace["seen"].waiting == ("woAJ2GCAAAXt", "wmqfasd1e192", "wmB7")


def test_every_limit_is_named() -> None:
    """By its name."""
    for name in WecomExternal.profile:
        assert re.search(rf"\b{name}\b", DOCS), name
