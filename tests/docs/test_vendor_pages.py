"""The page of each vendor's channel: its examples run as they are written, and it names what may be limited."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

import worker
from tests.docs.page import Page
from tests.pipeline.webhook_site import a_webhook
from tests.support.producing import ACCOUNTS, an_engine
from tests.support.youdu_client import APP, BUIN, KEYS
from worker import youdu
from worker.accounts.sources import accounts_of
from worker.channels.registry import channel
from worker.channels.wecom.upload import UPLOADS
from worker.channels.wecom_app import bodies, cards, messages
from worker.channels.wecom_app.limits import PROFILE
from worker.channels.wecom_external.channel import WecomExternal
from worker.channels.wecom_webhook import check as webhook_check, messages as webhook_messages
from worker.channels.wecom_webhook.channel import WecomWebhook
from worker.channels.youdu import account, check
from worker.channels.youdu.channel import Youdu
from worker.channels.youdu.messages import CLASSES
from worker.config.settings import load_settings
from worker.domain.account import Account, Secret
from worker.domain.content.message import Message

APPLICATION, EXTERNAL, WEBHOOK, YOUDU = (
    Page(f"docs/{name}.md") for name in ("wecom-app", "wecom-external", "wecom-webhook", "youdu")
)
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100
SALES = Account(
    "sales", "wecom_external", "http://127.0.0.1:8081", {"corpid": "ww0000000000000000"}, allow_everyone=True
)
ALERTS = a_webhook("", settings={"chatid_for": ["miniprogram", "file", "voice", "template_card"]}, allow_everyone=True)
YOUDU_APPS = {"oa": APP, "system": "sysMsgAssistant", "mail": "sysExmailAssistant", "sms": "sysSmsAssistant"}


def youdu_account(name: str, appid: str) -> Account:
    settings = {"buin": BUIN, "appid": appid, "sso_hosts": ["oa.example.com"]}
    return Account(name, "youdu", "http://127.0.0.1:1", settings, Secret(lambda: KEYS[appid]), allow_everyone=True)


OF_PAGES: Mapping[str, worker.FixedAccounts] = {
    APPLICATION.name: ACCOUNTS,
    EXTERNAL.name: worker.FixedAccounts([SALES]),
    WEBHOOK.name: worker.FixedAccounts([ALERTS]),
    YOUDU.name: worker.FixedAccounts([youdu_account(*app) for app in YOUDU_APPS.items()]),
}
NAMED: Mapping[str, Iterable[str]] = {
    APPLICATION.name: (*PROFILE, *UPLOADS),
    EXTERNAL.name: WecomExternal.profile,
    WEBHOOK.name: (*WecomWebhook.profile, *webhook_check.UPLOADS),
    YOUDU.name: (*account.InvalidUsers, *Youdu.profile, *check.BODIES),
}
"""What may be limited or uploaded, who may send what, and what a server was seen to do with unknown accounts."""


@contextmanager
def examples(page: Page, url: str, folder: Path) -> Iterator[dict[str, Any]]:
    """What the page's examples leave: run one after another in a folder with their pictures."""
    for name in ("menu.png", "poster.png"):
        (folder / name).write_bytes(PNG)
    worker.configure(OF_PAGES[page.name])
    engine = an_engine(url)
    try:
        with pytest.MonkeyPatch.context() as patch, Session(engine) as session:
            patch.chdir(folder)
            names: dict[str, Any] = {"session": session, "File": worker.File, "To": worker.To}
            names["enqueue"] = worker.enqueue
            for block in page.blocks_in("python"):
                exec(compile(block.text, page.name, "exec"), names)
            yield names
            session.commit()
    finally:
        worker.configure(None)
        engine.dispose()


def messages_of(names: Mapping[str, Any]) -> dict[str, Message]:
    """The messages among what the examples leave."""
    return {name: one for name, one in names.items() if isinstance(one, Message)}


@pytest.mark.parametrize("page", NAMED)
def test_every_limit_upload_and_role_is_named(page: str) -> None:
    """By its name."""
    assert [name for name in NAMED[page] if not re.search(rf"\b{name}\b", Page(page).text)] == []


def test_every_example_for_applications_can_be_enqueued(database_url: str, tmp_path: Path) -> None:
    """Each message passes the door, whoever it is for; every type there is has an example."""
    to = {"making": None, "changing": None, "handover": worker.AppChat("duty2026")}
    with examples(APPLICATION, database_url, tmp_path) as names:
        jobs = {
            name: worker.enqueue(names["session"], "hr", one, to.get(name, worker.To("lihua"))).id
            for name, one in messages_of(names).items()
            if not isinstance(one, worker.CardUpdate)
        }
        for update in (names["freeze"], names["whole"]):
            worker.update_card(names["session"], jobs["buttons"], update)

    shown = {type(one) for one in messages_of(names).values()}
    assert {*messages.CLASSES.values(), *cards.CARD_CLASSES.values(), worker.CreateChat, worker.ChangeChat} <= shown
    assert names["read"] == bodies.message_from_json(names["same"])


def test_every_example_for_customers_can_be_enqueued(database_url: str, tmp_path: Path) -> None:
    """Also what no example sends; each follow-up finds its send."""
    with examples(EXTERNAL, database_url, tmp_path) as names:
        session = names["session"]
        session.commit()
        other = worker.enqueue(session, "sales", names["other"], worker.Customers({"chenmo": ["wm1"]}))
        session.commit()

        kinds = [worker.get_job(session, names[name].id).kind for name in ("following", "nudge", "cancelled")]
        assert kinds == ["track", "remind", "recall"]
        assert [len(worker.get_job(session, job.id).parts) for job in names["jobs"]] == [2, 1, 1, 1]
        assert worker.get_job(session, other.id).kind == "send"
    assert names["seen"].waiting == ("woAJ2GCAAAXt", "wmqfasd1e192", "wmB7")


def test_every_example_for_webhooks_can_be_enqueued(database_url: str, tmp_path: Path) -> None:
    """Each message passes the door; every type there is has an example."""
    with examples(WEBHOOK, database_url, tmp_path) as names:
        for one in messages_of(names).values():
            worker.enqueue(names["session"], "alerts", one, worker.Chats("wr1"))
        worker.enqueue(names["session"], "alerts", names["text"], names["groups"])

    shown = {type(one) for one in messages_of(names).values()}
    assert {*webhook_messages.CLASSES.values(), *webhook_messages.CARD_CLASSES.values()} <= shown


def test_every_example_for_youdu_can_be_enqueued(database_url: str, tmp_path: Path) -> None:
    """Each message passes the door of its app; every type there is has an example."""
    homes = {youdu.SysMsg: "system", youdu.Mail: "mail", youdu.Sms: "sms"}
    with examples(YOUDU, database_url, tmp_path) as names:
        for one in messages_of(names).values():
            to = worker.Everyone() if isinstance(one, youdu.SysMsg) else worker.To("alice")
            worker.enqueue(names["session"], homes.get(type(one), "oa"), one, to)

    shown = {type(one) for one in messages_of(names).values()}
    assert {*CLASSES.values(), youdu.PopWindow, youdu.Badge, youdu.Raw} <= shown
    assert names["read"] == youdu.message_from_json(names["same"])


def test_the_sample_of_a_youdu_account_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands in worker.toml."""
    [sample] = YOUDU.blocks_in("toml")
    (tmp_path / "worker.toml").write_text(sample.text, encoding="utf-8")
    monkeypatch.setenv("OA_AES_KEY", KEYS[APP])

    found = accounts_of(load_settings(tmp_path / "worker.toml")).get("oa")

    assert channel("youdu").account_problems(found) == []
    assert found.secret is not None
    assert found.secret.read() == KEYS[APP]


def test_the_table_of_youdus_lengths_is_the_rows() -> None:
    """Every field with a most stands in it with its number."""
    table = {
        field: int(most)
        for names, most in re.findall(r"^\| (`[^|]+`) \| (\d+)[^|]* \|", YOUDU.text, flags=re.MULTILINE)
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
