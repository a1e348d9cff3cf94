"""docs/wecom-app.md: its examples run as they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

import worker
from tests.support.producing import ACCOUNTS, an_engine
from worker.channels.wecom.upload import UPLOADS
from worker.channels.wecom_app import bodies, cards, messages
from worker.channels.wecom_app.limits import PROFILE
from worker.domain.content.message import Message

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "wecom-app.md").read_text(encoding="utf-8")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


@pytest.fixture
def namespace(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the page's examples leave: run one after another in a folder with their picture."""
    (tmp_path / "menu.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    worker.configure(ACCOUNTS)
    engine = an_engine(database_url)
    with Session(engine) as session:
        names: dict[str, Any] = {"session": session, "File": worker.File, "To": worker.To, "enqueue": worker.enqueue}
        for block in re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL):
            exec(compile(block, "docs/wecom-app.md", "exec"), names)
        yield names
    worker.configure(None)
    engine.dispose()


def test_every_example_can_be_enqueued(namespace: dict[str, Any]) -> None:
    """Each message passes the door, whoever it is for; every type there is has an example."""
    session, examples = namespace["session"], [one for one in namespace.values() if isinstance(one, Message)]
    to = {"making": None, "changing": None, "handover": worker.AppChat("duty2026")}

    jobs = {
        name: worker.enqueue(session, "hr", one, to.get(name, worker.To("lihua"))).id
        for name, one in namespace.items()
        if isinstance(one, Message) and not isinstance(one, worker.CardUpdate)
    }
    for update in (namespace["freeze"], namespace["whole"]):
        worker.update_card(session, jobs["buttons"], update)
    session.commit()

    shown = {type(one) for one in examples}
    assert {*messages.CLASSES.values(), *cards.CARD_CLASSES.values(), worker.CreateChat, worker.ChangeChat} <= shown
    assert namespace["read"] == bodies.message_from_json(namespace["same"])


def test_every_limit_and_upload_is_named() -> None:
    """By its name."""
    for name in (*PROFILE, *UPLOADS):
        assert re.search(rf"\b{name}\b", DOCS), name
