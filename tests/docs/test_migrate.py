"""docs/migrate/: what another library sends and what we send instead are the same request on the wire.

A chapter has examples of three blocks each: `<!-- theirs: NAME -->` is the library's call, `<!-- wire: NAME -->` the
request that it makes, and `<!-- ours: NAME -->` our call. Ours runs, with the chapter's own settings, over
HTTP to a server that records. Theirs runs as well where it is Python from the package index; elsewhere the chapter
names the source file from which the request was read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import celery
import pytest
import requests
from sqlalchemy.orm import Session

import worker
from tests.docs.page import ROOT, Page
from tests.support.recording_vendor import RecordingVendor, Wire, recording
from tests.support.runtime import planted
from worker.accounts.sources import accounts_of
from worker.config.accounts import FixedAccounts
from worker.config.settings import load_settings
from worker.crypto.youdu import YouduEnvelope
from worker.domain.account import Account
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.transport.http import SocketTransport
from worker_simulator.settings.youdu import key_of

CHAPTERS = [Page(f"docs/migrate/{path.name}") for path in sorted((ROOT / "docs" / "migrate").glob("*.md"))]
CHAPTERS = [page for page in CHAPTERS if page.name != "docs/migrate/index.md"]
RUNS_HERE = {"docs/migrate/wechatpy.md", "docs/migrate/apprise.md", "docs/migrate/celery.md"}
SECRETS = {"HR_SECRET": "not-so-secret", "ALERTS_KEY": "633a31f6-0000-4bc4-97a0-0ec1eefaaaaa", "OA_AES_KEY": key_of(0)}
SECRETS["SYSTEM_AES_KEY"] = key_of(1)

MEANS_NOTHING: dict[str, tuple[object, ...]] = {
    "touser": ("",),
    "toparty": ("",),
    "totag": ("",),
    "toDept": ("",),
    "safe": (0, "0"),
    "enable_id_trans": (0,),
    "enable_duplicate_check": (0,),
    "duplicate_check_interval": (0,),
    "type": (0,),  # a button that calls back (page 90236)
}
"""Fields whose value is what the vendor takes a missing field for; at WeCom we leave them out."""
HEADINGS = ("Their call and ours", "What gets better", "Move a live app", "Without a counterpart")
ADDED = {"enable_duplicate_check": 1, "duplicate_check_interval": 14400}
"""What we add to a message of a WeCom application: with it a repeat does no harm."""


@dataclass(frozen=True)
class Example:
    """One call in both forms."""

    page: Page
    name: str

    def block(self, kind: str) -> str:
        """What stands below the comment."""
        found = re.findall(rf"<!-- {kind}: {re.escape(self.name)} -->\n```\w+\n(.*?)```", self.page.text, re.S)
        assert 1 == len(found), f"{self.page.name} has {len(found)} blocks {kind}: {self.name}"
        return str(found[0])

    @property
    def wire(self) -> Wire:
        """The request of the library."""
        return Wire.read(self.block("wire"))

    def __str__(self) -> str:
        return f"{Path(self.page.name).stem}-{self.name}"


EXAMPLES = [Example(page, name) for page in CHAPTERS for name in re.findall(r"<!-- ours: (.+?) -->", page.text)]


def meant(wire: Wire) -> Wire:
    """The request without fields that say nothing, at any depth."""
    return replace(wire, body=_meant(wire.body))


def _meant(value: Any) -> Any:
    if isinstance(value, list):
        return [_meant(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {name: _meant(inner) for name, inner in value.items() if inner not in MEANS_NOTHING.get(name, ())}


def without_the_check(wire: Wire) -> Wire:
    """The request without the two fields of the duplicate check; both are there, or neither is."""
    found = {name: wire.body[name] for name in ADDED if name in wire.body}
    assert found in ({}, ADDED)
    return replace(wire, body={name: value for name, value in wire.body.items() if name not in ADDED})


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that the settings of the chapters name."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def found(request: pytest.FixtureRequest, tmp_path: Path) -> list[Account]:
    """The accounts of the settings in the example's chapter."""
    example: Example = request.getfixturevalue("example")
    path = tmp_path / "worker.toml"
    path.write_text(example.page.blocks_in("toml")[0].text, encoding="utf-8")
    known = accounts_of(load_settings(path))
    return [known.get(name) for name in known.names()]


@pytest.fixture
def vendor(found: list[Account]) -> Iterator[RecordingVendor]:
    """The vendor of these accounts."""
    apps = [(one.settings["appid"], one.secret) for one in found if one.channel == "youdu"]
    with recording({app: YouduEnvelope(secret.read(), app) for app, secret in apps if secret}) as vendor:
        yield vendor


@pytest.mark.fewer_databases("what is sent does not depend on the database")
@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_ours_sends_the_same_request(
    example: Example, found: list[Account], vendor: RecordingVendor, database: Database, driven_clock: DrivenClock
) -> None:
    """Method, path, query and body; the duplicate check is the only addition."""
    found = [replace(one, base_url=vendor.url) for one in found]
    worker.configure(FixedAccounts(found))
    try:
        with (
            closing(SocketTransport()) as transport,
            planted(database, driven_clock, accounts=found, transport=transport) as site,
        ):
            with Session(database.engine) as session:
                exec(compile(example.block("ours"), example.page.name, "exec"), {"session": session})
                session.commit()
            site.clock.micros = max(row.due_at for row in site.rows("select due_at from worker_jobs"))
            site.run()
    finally:
        worker.configure(None)

    assert [meant(example.wire)] == [meant(without_the_check(call)) for call in vendor.calls]


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # imported by apprise's plugin for mail
@pytest.mark.parametrize("example", [one for one in EXAMPLES if one.page.name in RUNS_HERE], ids=str)
def test_theirs_sends_what_the_chapter_says(
    example: Example, vendor: RecordingVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library from the package index, called as the chapter calls it."""
    made = requests.Session.request

    def here(session: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
        return made(session, method, url.replace("https://qyapi.weixin.qq.com", vendor.url), **options)

    monkeypatch.setattr(requests.Session, "request", here)
    monkeypatch.setattr(celery.Task, "delay", lambda task, *args: task.apply(args, throw=True))

    exec(compile(example.block("theirs"), example.page.name, "exec"), {})

    assert [example.wire] == vendor.calls


@pytest.mark.parametrize("page", CHAPTERS, ids=lambda page: page.name)
def test_a_chapter_says_how_to_move(page: Page) -> None:
    """Both calls, what gets better, the way of a live app with its share of the limits, what has no counterpart."""
    headings = [line for line in page.text.splitlines() if line.startswith("## ")]

    assert [f"## {heading}" for heading in HEADINGS] == headings
    assert "share = " in page.blocks_in("toml")[0].text
    assert [one for one in EXAMPLES if one.page == page]
    for kind in ("theirs", "wire"):
        assert re.findall(rf"<!-- {kind}: (.+?) -->", page.text) == re.findall(r"<!-- ours: (.+?) -->", page.text)


def test_a_request_that_was_read_names_its_source() -> None:
    """The repository, a commit, and the file."""
    wanted = (r"https://github\.com/[\w-]+/[\w-]+", r"`[\w./-]+\.(java|go|ex|py|cs)`", r"`[0-9a-f]{7,40}`")
    read = [page for page in CHAPTERS if page.name not in RUNS_HERE]

    assert [] == [(page.name, one) for page in read for one in wanted if not re.search(one, page.text)]
