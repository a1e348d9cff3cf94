"""docs/wecom-webhook.md: its examples run as they are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

import worker
from tests.pipeline.webhook_site import a_webhook
from tests.support.producing import an_engine
from worker.channels.wecom_webhook import messages
from worker.channels.wecom_webhook.channel import WecomWebhook
from worker.channels.wecom_webhook.check import UPLOADS
from worker.domain.content.message import Message

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "wecom-webhook.md").read_text(encoding="utf-8")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
SETTINGS = {"chatid_for": ["miniprogram", "file", "voice", "template_card"]}


@pytest.fixture
def namespace(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the page's examples leave: run one after another in a folder with their picture."""
    (tmp_path / "menu.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    worker.configure(worker.FixedAccounts([a_webhook("", settings=SETTINGS, allow_everyone=True)]))
    engine = an_engine(database_url)
    with Session(engine) as session:
        names: dict[str, Any] = {"session": session, "File": worker.File, "enqueue": worker.enqueue}
        for block in re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL):
            exec(compile(block, "docs/wecom-webhook.md", "exec"), names)
        yield names
    worker.configure(None)
    engine.dispose()


def test_every_example_can_be_enqueued(namespace: dict[str, Any]) -> None:
    """Each message passes the door; every type there is has an example."""
    examples = {name: one for name, one in namespace.items() if isinstance(one, Message)}

    for one in examples.values():
        worker.enqueue(namespace["session"], "alerts", one, worker.Chats("wr1"))
    worker.enqueue(namespace["session"], "alerts", namespace["text"], namespace["groups"])
    namespace["session"].commit()

    shown = {type(one) for one in examples.values()}
    assert {*messages.CLASSES.values(), *messages.CARD_CLASSES.values()} <= shown


def test_every_limit_and_upload_is_named() -> None:
    """By its name."""
    for name in (*WecomWebhook.profile, *UPLOADS):
        assert re.search(rf"\b{name}\b", DOCS), name
