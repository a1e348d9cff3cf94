"""docs/youdu.md: its examples run as they are written, and what it names is what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

import worker
from tests.support.producing import an_engine
from tests.support.youdu_client import APP, BUIN, KEYS
from worker import youdu
from worker.channels.youdu import account, check
from worker.channels.youdu.channel import Youdu
from worker.channels.youdu.messages import CLASSES
from worker.config.accounts import FixedAccounts
from worker.config.settings import load_settings
from worker.domain.account import Account, Secret
from worker.domain.content.message import Message

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "youdu.md").read_text(encoding="utf-8")
APPS = {"oa": APP, "system": "sysMsgAssistant", "mail": "sysExmailAssistant", "sms": "sysSmsAssistant"}


def accounts() -> FixedAccounts:
    made = [
        Account(
            name,
            "youdu",
            "http://127.0.0.1:1",
            {"buin": BUIN, "appid": appid, "sso_hosts": ["oa.example.com"]},
            Secret(lambda appid=appid: KEYS[appid]),  # type: ignore[misc]
            allow_everyone=True,
        )
        for name, appid in APPS.items()
    ]
    return FixedAccounts(made)


@pytest.fixture
def namespace(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the page's examples leave: run one after another in a folder with their picture."""
    (tmp_path / "menu.png").write_bytes(b"a picture")
    monkeypatch.chdir(tmp_path)
    worker.configure(accounts())
    engine = an_engine(database_url)
    with Session(engine) as session:
        names: dict[str, Any] = {"session": session}
        for block in re.findall(r"```python\n(.*?)```", DOCS, flags=re.DOTALL):
            exec(compile(block, "docs/youdu.md", "exec"), names)
        yield names
    worker.configure(None)
    engine.dispose()


def test_every_example_can_be_enqueued(namespace: dict[str, Any]) -> None:
    """Each message passes the door of its app; every type there is has an example."""
    session, examples = namespace["session"], [one for one in namespace.values() if isinstance(one, Message)]
    homes = {youdu.SysMsg: "system", youdu.Mail: "mail", youdu.Sms: "sms"}

    for one in examples:
        to = worker.Everyone() if isinstance(one, youdu.SysMsg) else worker.To("alice")
        worker.enqueue(session, homes.get(type(one), "oa"), one, to)
    session.commit()

    shown = {type(one) for one in examples}
    assert {*CLASSES.values(), youdu.PopWindow, youdu.Badge, youdu.Raw} <= shown
    assert namespace["read"] == youdu.message_from_json(namespace["same"])


def test_every_limit_and_role_is_named() -> None:
    """What may be limited, who may send what, and what a server was seen to do with unknown accounts."""
    for name in (*account.InvalidUsers, *Youdu.profile, *check.BODIES):
        assert re.search(rf"\b{name}\b", DOCS), name


def test_the_sample_of_an_account_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands in worker.toml."""
    (sample,) = re.findall(r"```toml\n(.*?)```", DOCS, flags=re.DOTALL)
    (tmp_path / "worker.toml").write_text(sample, encoding="utf-8")
    monkeypatch.setenv("OA_AES_KEY", KEYS[APP])

    from worker.accounts.sources import accounts_of
    from worker.channels.registry import channel

    found = accounts_of(load_settings(tmp_path / "worker.toml")).get("oa")
    assert channel("youdu").account_problems(found) == []
    assert KEYS[APP] == found.secret.read()


def test_the_table_of_lengths_is_the_rows() -> None:
    """Every field with a most stands in it with its number."""
    table = {
        field: int(re.match(r"\d+", most)[0])
        for names, most in re.findall(r"^\| (`[^|]+`) \| (\d+[^|]*) \|", DOCS, flags=re.MULTILINE)
        for field in re.findall(r"`([^`]+)`", names)
    }
    rows = {
        row.path: row.max_utf16 or row.entries[1]
        for rows in check.BODIES.values()
        for row in rows
        if getattr(row, "max_utf16", None) or getattr(row, "entries", None)
    }

    assert rows.keys() - table.keys() == {"sysMsg.msg[].link.title"}
    assert {path: most for path, most in rows.items() if path in table} == table
