"""The vendor's samples, kept as files: what goes out is theirs, what comes in is understood, what is wrong is refused.

`golden/` restates the samples of pages 90236, 94888, 90245 and 90253 with values of our own; only tests read it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from wecom_app_facts import rows
from wecom_app_samples import ACCESS, CHANNEL, account, draft, part

from tests.support.on_the_wire import body_sent
from worker.channels.wecom_app import message_from_json, message_to_json, recipients_from_json
from worker.channels.wecom_app.cards import CARD_CLASSES
from worker.channels.wecom_app.changes import ChangeChat, CreateChat
from worker.channels.wecom_app.messages import CLASSES, Raw
from worker.domain.call import Access, Reply
from worker.domain.content.recipient import Recipients
from worker.domain.errors import CheckFailed
from worker.domain.job import Draft, Part
from worker.domain.outcome import Accepted, Partial, Rejected, StaleToken, Wait

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> Any:
    """A golden file."""
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def names(folder: str) -> list[str]:
    """Every golden file of a folder."""
    found = sorted(path.stem for path in (GOLDEN / folder).glob("*.json"))
    assert found
    return found


def rendered(message: Any, kind: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the channel sends for a message to the recipients of a body, as one part."""
    to = recipients_from_json(body)
    asked = draft(
        message.document(), to, kind=kind, account=account({"agentid": body.get("agentid", 1)}, allow_everyone=True)
    )
    assert CHANNEL.check(asked) == []
    (spec,) = CHANNEL.split(asked)
    facts = {"response_code": body.get("response_code")}
    made = part(message.document(), spec, kind=kind, facts=facts)
    built = CHANNEL.request(made, asked.account, ACCESS, flagged="enable_duplicate_check" in body)
    return json.loads(built.body)


def meant(body: dict[str, Any]) -> dict[str, Any]:
    """A body without what says nothing: no recipients of a kind, and the everybody of an update that names some."""
    silent = {name for name in ("touser", "toparty", "totag") if body.get(name) == ""}
    silent |= {"atall"} if body.get("atall") == 0 else set()
    return {name: value for name, value in body.items() if name not in silent}


@pytest.mark.parametrize("name", names("requests"))
def test_requests(name: str):
    """Every sample of message/send is read into its type, goes out as the same JSON, and comes back equal."""
    body = golden(f"requests/{name}")

    message = message_from_json(body)
    out = rendered(message, "send", body)

    assert not isinstance(message, Raw)
    if body["msgtype"] == "template_card" and "task_id" not in body["template_card"]:
        assert out["template_card"].pop("task_id").startswith("w")
    assert meant(body) == out
    assert message == message_from_json(json.dumps(message_to_json(message)))


def test_every_type_has_a_sample():
    """Types and cards that are read back from JSON."""
    assert CLASSES.keys() | CARD_CLASSES.keys() == set(names("requests"))


@pytest.mark.parametrize("name", names("updates"))
def test_updates(name: str):
    """Both forms of a card update."""
    body = golden(f"updates/{name}")

    message = message_from_json(body)

    assert meant(body) == rendered(message, "update_card", body)
    assert message == message_from_json(message_to_json(message))


def test_chats():
    """A chat is made and sent to as the page shows it."""
    made, sent = golden("chats/create"), golden("chats/send")

    creation = CHANNEL.request(
        part(CreateChat(**made).document(), {}, kind="create_chat"), account(), ACCESS, flagged=False
    )

    assert creation.path == "/cgi-bin/appchat/create"
    assert json.loads(creation.body) == made
    assert sent == rendered(message_from_json(sent), "send_chat", sent)
    changed = {"chatid": "c1", "name": "n", "add_user_list": ["a"]}
    for body, message in ((made, CreateChat(**made)), (changed, ChangeChat(**changed))):
        assert message == message_from_json(body)
        assert body == message_to_json(message)


def test_an_upload_on_the_wire():
    """The multipart body is the sample's, with the raw UTF-8 name, whatever the transport adds."""
    head, _, wanted = (GOLDEN / "upload.http").read_text(encoding="utf-8").partition("\n\n")
    file = {"upload_type": "file", "name": "七月报表.pdf", "size": 12, "sha256": "0" * 64}
    made = Part(
        "j-0", "j", 0, "upload", {"type": "upload", "files": {"media": file}}, {}, facts={"open": lambda: [b"x" * 12]}
    )

    built = CHANNEL.request(made, account(), Access("tok_7f2c1d90a4"), flagged=False)

    line = head.splitlines()[0].split()
    query = "&".join(f"{name}={value}" for name, value in built.query.items())
    assert line[:2] == [built.method, f"{built.path}?{query}"]
    assert wanted.replace("<12 bytes>", "x" * 12).replace("\n", "\r\n").encode() == body_sent(built)


REPLIES = {
    "success": (Accepted, {"msgid": "Zk3vQ8pLr1TtYwUeIoPaSdFgHjKlZxCvBnM0123456789abcdefGHIJKLMNOPQRSTUVWXYZ"}),
    "partial_card": (Partial, {"response_code": "RC-0a1b2c3d4e5f60718293a4b5c6d7e8f9"}),
    "all_invalid": (Rejected, {}),
    "token_expired": (StaleToken, {}),
    "frequency": (Wait, {}),
    "task_id_exists": (Rejected, {}),
    "code_spent": (Rejected, {}),
}


@pytest.mark.parametrize("name", names("replies"))
def test_replies(name: str):
    """Every sample of an answer is read into its outcome."""
    kind, facts = REPLIES[name]
    body = golden("requests/button_interaction")
    message = message_from_json(body).document()
    spec = {"users": ["Ghost01", "ghost02", "TEMP07", "chenmo"], "parties": ["999", "12"]}
    reply = Reply(200, {}, json.dumps(golden(f"replies/{name}")).encode())

    verdict = CHANNEL.outcome(part(message, spec), account(), reply, ACCESS)

    assert isinstance(verdict.outcome, kind)
    assert golden(f"replies/{name}")["errcode"] == verdict.errcode
    for field, value in facts.items():
        assert value == getattr(verdict.outcome.receipt, field)
    if name == "partial_card":
        assert {one.recipient for one in verdict.outcome.refusals} == {"Ghost01", "ghost02", "TEMP07", "999"}
    if name == "all_invalid":
        assert len(verdict.outcome.refusals) == 6


REFUSALS = golden("refusals")


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal["row"])
def test_invalid_bodies(refusal: dict[str, Any]):
    """The door refuses each with the vendor's code, or the worker does not send it so, or only the vendor can know."""
    body = refusal["body"]
    agent = account({**refusal.get("settings", {})})

    found = problems(body, recipients_from_json(body), agent)

    if refusal["by"] == "door":
        assert found
        assert refusal["code"] == 0 or any(f"vendor code {refusal['code']}" in problem for problem in found)
    else:
        assert found == []
        assert refusal["note"]
    if refusal["by"] == "worker":
        assert never_sent_so(body, agent)


def problems(body: dict[str, Any], to: Recipients, agent: Any) -> list[str]:
    """What the door says to a body, given as it stands and, where it can be, as a typed message."""
    raw = Raw(msgtype=body["msgtype"], body={name: body[name] for name in body.keys() & {body["msgtype"], "safe"}})
    found = [str(problem) for problem in CHANNEL.check(Draft("send", agent, raw.document(), to))]
    try:
        typed = message_from_json(body)
    except CheckFailed as error:
        return found or [str(problem) for problem in error.problems]  # a type that only a Raw may have
    told = [str(problem) for problem in CHANNEL.check(Draft("send", agent, typed.document(), to))]
    assert found == [one for one in told if not one.startswith("agentid: ")]
    return told


def never_sent_so(body: dict[str, Any], agent: Any) -> bool:
    """No call of ours has the fault of this body."""
    message, to = message_from_json(body).document(), recipients_from_json(body)
    parts = [part(message, spec) for spec in CHANNEL.split(Draft("send", agent, message, to))]
    sent = [json.loads(CHANNEL.request(one, agent, ACCESS, flagged=False).body) for one in parts]
    return all(
        agent.settings["agentid"] == one["agentid"]
        and len(one.get("touser", "").split("|")) <= 1000
        and len(one.get("toparty", "").split("|")) <= 100
        and len(one.get("totag", "").split("|")) <= 100
        and (one["msgtype"] != "template_card" or one["template_card"]["task_id"])
        for one in sent
    )


def test_every_row_of_invalid_bodies_is_a_file(capsys: pytest.CaptureFixture[str]):
    """Row by row as the table has them, with its code."""
    table = [(row["body"], row["code"]) for row in rows("invalid_bodies")]

    assert [row for row, _ in table] == [refusal["row"] for refusal in REFUSALS]
    for refusal, (_, code) in zip(REFUSALS, table, strict=True):
        assert all(str(one) in code for one in (refusal["code"], refusal.get("also")) if one)
    with capsys.disabled():
        by = [refusal["by"] for refusal in REFUSALS]
        print(
            f"\ninvalid bodies: {len(by)}, refused at the door {by.count('door')}, never sent so {by.count('worker')},"
            f" known to the vendor only {by.count('vendor')}"
        )
