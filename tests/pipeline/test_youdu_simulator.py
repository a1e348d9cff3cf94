"""Youdu all the way, on SQLite and over HTTP: files, unknown accounts, lost answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.conformance.case import calls, faults
from tests.support.control import control
from tests.support.runtime import Site, planted
from tests.support.youdu_client import APP, BUIN, KEYS
from worker import File, To, failures, get_job, resend_failed, youdu
from worker.control.resolve import find_unknown, resolve
from worker.domain.account import Account, Secret
from worker.domain.job_filter import JobFilter
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.transport.http import SocketTransport
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings

pytestmark = pytest.mark.fewer_databases("what the vendor answers is the same on each")
SEND, UPLOAD, TOKEN, BADGE = "/cgi/msg/send", "/cgi/media/upload", "/cgi/gettoken", "/cgi/set.ent.notice"


def an_account(name: str, url: str, appid: str = APP, **fields: Any) -> Account:
    settings = {"buin": BUIN, "appid": appid, **fields.pop("settings", {})}
    secret = fields.pop("secret", lambda: KEYS[appid])
    return Account(name, "youdu", url, settings, Secret(secret), **fields)


Made = Callable[..., tuple[Site, str]]


@pytest.fixture
def made(database: Database, driven_clock: DrivenClock) -> Iterator[Made]:
    """A site and its server, which treats unknown accounts in some way that the account knows, or not."""
    with ExitStack() as stack:

        def make(server: str = "partial", known: str = "unknown", **more: Any) -> tuple[Site, str]:
            settings = SimulatorSettings.model_validate({"youdu": {"invalid_users": server}})
            url = stack.enter_context(running(settings))
            transport = stack.enter_context(closing(SocketTransport()))
            accounts = [
                an_account("oa", url, settings={"invalid_users": known}, allow_everyone=True, **more),
                an_account("system", url, "sysMsgAssistant", allow_everyone=True),
                an_account("mail", url, "sysExmailAssistant"),
                an_account("sms", url, "sysSmsAssistant"),
            ]
            site = planted(database, driven_clock, accounts=accounts, transport=transport)
            return stack.enter_context(site), url

        yield make


def delivered(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = control(url, "youdu")["delivered"]
    return found


def counts(site: Site, job: str) -> dict[str, int]:
    with site.database.reading() as connection:
        found = get_job(connection, job).counts
    return {name: getattr(found, name) for name in found.__slots__ if getattr(found, name)}


def ask(site: Site, message: Any, to: Any = "alice", account: str = "oa", **options: Any) -> str:
    return site.ask(message, to, account=account, **options)


def test_an_image_is_uploaded_once_encrypted_and_shown(made: Made) -> None:
    """The server has the file byte for byte under its name; a second send uses the same media_id."""
    site, url = made()
    content = bytes(range(256)) * 9000  # more than two chunks
    first = ask(site, youdu.Image(file=File(content, "图 1.png")))
    second = ask(site, youdu.Image(file=File(content, "图 1.png")), "bob")
    for _ in range(3):
        site.run()

    (media,) = control(url, "youdu")["media"]
    assert [site.job(job).state for job in (first, second)] == ["accepted"] * 2
    assert ("图 1.png", len(content), "image") == (media["name"], media["size"], media["type"])
    assert [{"media_id": media["media_id"]}] * 2 == [one["content"] for one in delivered(url)]
    assert len(calls(url, UPLOAD)) == 1


def test_an_upload_whose_file_cannot_be_read_is_in_no_doubt(made: Made) -> None:
    """Nothing of it leaves, not even the header of the encrypted content."""
    site, url = made()
    site.ring(ask(site, youdu.Image(file=File(b"figures", "a.png"))))
    [upload] = [row.id for row in site.rows("select id from worker_jobs where kind = 'upload'")]
    for table in ("worker_blob_chunks", "worker_blobs"):
        site.sql(f"delete from {table}")

    site.ring(upload)

    assert (site.state(upload), [row.outcome for row in site.of("attempts", upload)]) == ("queued", ["retry"])
    assert calls(url, UPLOAD) == []


@pytest.mark.parametrize(
    ("server", "knows"),
    [("silent", False), *((mode, knows) for mode in ("strict", "partial", "partial-error") for knows in (True, False))],
)
def test_unknown_accounts_in_every_way_a_server_may_have(made: Made, server: str, knows: bool) -> None:
    """Whatever it does: nobody gets it twice, nobody is said to have it who has not, and the counts add up."""
    site, url = made(server, server if knows else "unknown")

    job = ask(site, youdu.Text(content="hello"), To(["alice", "Ghost1", "bob"]))
    for _ in range(4):
        site.run()
        site.advance(40)
        site.recover()

    got = [person for one in delivered(url) for person in one["people"]]
    who, state = counts(site, job), site.job(job).state
    named = [failure.recipient for failure in site.of("failures", job)]
    assert len(got) == len(set(got))
    assert who["asked"] == sum(who.values()) - who["asked"]
    match server, knows:
        case "silent", _:  # nobody can tell: it says that all is well
            assert (state, who, named) == ("accepted", {"asked": 3, "accepted": 3}, [])
        case _, True:
            assert (state, who, named) == ("partial", {"asked": 3, "accepted": 2, "refused": 1}, ["Ghost1"])
            assert got == ["alice", "bob"]
            assert (2 if server == "strict" else 1) == len(calls(url, SEND))
        case _, False:
            assert (state, who, named) == ("unknown", {"asked": 3, "refused": 1, "unknown": 2}, ["Ghost1"])
            assert len(calls(url, SEND)) == 1
            assert "invalid_users" in site.part(job).reason


def test_what_a_person_may_do_about_those_left_open(made: Made) -> None:
    """The refused alone, or with the unknown when that is asked for; nothing is sent again by itself."""
    site, url = made("strict")
    job = ask(site, youdu.Text(content="hello"), To(["alice", "ghost1", "bob"]), on_unknown="resend")
    for _ in range(4):
        site.run()
        site.advance(40)
        site.recover()
    assert (delivered(url), len(calls(url, SEND))) == ([], 1)

    control(url, "settings", {"youdu": {"missing_users": []}})
    with site.database.writing() as connection:
        assert [one.recipient for one in failures(connection, job)] == ["ghost1"]
        options = {"accounts": site.accounts}
        again = resend_failed(connection, job, unknown=True, **options).id
    site.run()

    assert sorted(delivered(url)[0]["people"]) == ["alice", "bob", "ghost1"]
    assert site.job(again).state == "accepted"


def test_those_whom_a_strict_server_refused_stay_refused_when_a_later_answer_is_lost(made: Made) -> None:
    """A person who says that the message arrived says so of the others: whoever was left out did not get it."""
    site, url = made("strict", "strict")
    job = ask(site, youdu.Text(content="hello"), To(["alice", "Ghost1", "bob"]))
    site.ring(job)
    waiting = counts(site, job)
    faults(url, SEND, {"reset_response_after": 0})
    site.run()
    in_doubt = counts(site, job)

    unknown = find_unknown(JobFilter(ids=[job]), force=True, database=site.database)
    resolve(unknown, sent=True, why="they have it", person="zhang", database=site.database)

    assert waiting == {"asked": 3, "refused": 1, "waiting": 2}
    assert in_doubt == {"asked": 3, "refused": 1, "unknown": 2}
    assert (site.job(job).state, counts(site, job)) == ("partial", {"asked": 3, "accepted": 2, "refused": 1})
    assert [(row.recipient, row.errcode) for row in site.of("failures", job)] == [("Ghost1", 200007)]
    assert [one["people"] for one in delivered(url)] == [["alice", "bob"]]


@pytest.mark.parametrize("message", [youdu.Badge(count=3), youdu.PopWindow(tip="look")])
def test_a_call_without_a_token_proves_no_token(made: Made, message: Any) -> None:
    """The server refuses every token and takes badges and pop-ups: the second refusal parks the account."""
    site, url = made()
    stale = {"errcode": 100001, "errmsg": "access token not exist"}
    faults(url, SEND, {"answer": stale}, times=20)
    job = ask(site, youdu.Text(content="hello"))
    for _ in range(6):
        site.ring(job)
        ask(site, message)
        site.run()
        site.advance(2)

    assert (site.state(job), [row.outcome for row in site.of("attempts", job)]) == ("queued", ["stale_token"] * 2)
    assert (len(calls(url, SEND)), len(calls(url, TOKEN))) == (2, 2)
