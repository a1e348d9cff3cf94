"""Samples of the documentation, read in and written out again, byte by byte where they are encrypted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from youdu_samples import ACCESS, CHANNEL, ENVELOPE, account, account_for, draft, form, part, reply, sent

from tests.support.youdu_vectors import APP_ID, BUIN, vector
from worker.channels.base import TokenGranted
from worker.channels.youdu import FileMessage, message_from_json, message_to_json, recipients_from_json
from worker.channels.youdu.messages import CLASSES
from worker.domain.call import FileBody
from worker.domain.content.message import File
from worker.domain.outcome import Accepted, StaleToken

GOLDEN = Path(__file__).parent / "golden" / "youdu"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))


def golden(name: str) -> dict[str, Any]:
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", NAMES)
def test_every_sample_is_read_checked_and_written_as_it_was(name: str):
    """The plain text of the call is the sample's, in its order; from JSON the message comes back equal."""
    body = golden(name)
    message, to = message_from_json(body), recipients_from_json(body)
    agent = account_for(str(body.get("msgType")), allow_everyone=True)
    asked = draft(message.document(), to, account=agent)

    assert CHANNEL.check(asked) == []
    (spec,) = CHANNEL.split(asked)
    out = sent(CHANNEL.request(part(message.document(), spec), agent, ACCESS, flagged=False))

    assert body == out
    assert list(body) == list(out)
    apart = {one: body[one] for one in ("account", "toAll") if one in body}  # they stand with the recipients
    assert message == message_from_json(json.dumps({**message_to_json(message), **apart}))


def test_every_type_has_a_sample():
    """Types we know, and samples."""
    assert {name.partition("_new")[0] for name in NAMES} - {"mail_unread"} == {
        *CLASSES,
        "pop_window",
        "badge",
        "everyone",
    }


def test_a_text_is_the_vector():
    """The same plain text, sealed with the vector's leading bytes, is V3; the envelope around it is the sample's."""
    body = golden("text")
    message = message_from_json(body).document()
    built = CHANNEL.request(part(message, {"users": ["alice", "bob"]}), account(), ACCESS, flagged=False)
    outer = json.loads(built.body)
    plain = ENVELOPE.open(outer["encrypt"])

    assert vector("V3").message == plain
    assert vector("V3").sealed == ENVELOPE.seal(plain, vector("V3").random)
    assert {"buin": BUIN, "appId": APP_ID, "encrypt": outer["encrypt"]} == outer
    assert built.method == "POST"
    assert built.base_url == "http://youdu:7080"
    assert built.path == "/cgi/msg/send"
    assert built.content_type == "application/json"
    assert built.query == {"accessToken": "tok-0001"}


def test_a_badge_is_the_vector_in_the_old_envelope():
    """app_id and msg_encrypt, no buin, no token (c01_00005)."""
    built = CHANNEL.request(
        part(message_from_json(golden("badge")).document(), {"users": ["alice"]}), account(), ACCESS, flagged=False
    )
    outer = json.loads(built.body)

    assert vector("V8").message == ENVELOPE.open(outer["msg_encrypt"])
    assert set(outer) == {"app_id", "msg_encrypt"}
    assert outer["app_id"] == APP_ID
    assert (built.path, built.query) == ("/cgi/set.ent.notice", {})


def test_a_pop_up_has_the_old_envelope_and_no_token():
    """As the badge has (c01_00006)."""
    message = message_from_json(golden("pop_window")).document()
    built = CHANNEL.request(part(message), account(), ACCESS, flagged=False)

    assert built.path == "/cgi/popwindow"
    assert built.query == {}
    assert set(json.loads(built.body)) == {"app_id", "msg_encrypt"}


def test_gettoken_is_the_vector():
    """The time as a decimal text, in the standard envelope, without a token; its answer is V2."""
    built = CHANNEL.token_request(account(), ACCESS.secret, 1_700_000_000)
    outer = json.loads(built.body)
    answer = {"errcode": 0, "errmsg": "ok", "encrypt": vector("V2").sealed}

    assert vector("V1").message == ENVELOPE.open(outer["encrypt"])
    assert (built.method, built.path, built.query) == ("POST", "/cgi/gettoken", {})
    assert outer["buin"] == BUIN
    assert TokenGranted("tok-0001", 7200) == CHANNEL.token_outcome(reply(answer), account(), ACCESS.secret)


def upload(content: bytes, name: str) -> Any:
    file = {"upload_type": "file", "name": name, "size": len(content), "sha256": "0" * 64}
    return part({"type": "upload", "files": {"media": file}}, {}, facts={"open": lambda: [content[:2], content[2:]]})


def test_an_upload_is_the_vectors():
    """buin and appId as text, the real name encrypted (V4), the file as the text of its encrypted bytes (V5)."""
    content = vector("V5").message
    built = CHANNEL.request(upload(content, "报告.bin"), account(), ACCESS, flagged=False)
    fields, file = form(built)

    assert isinstance(built.body, FileBody)
    assert (built.body.field_name, built.body.filename, built.body.content_type) == ("file", "file", "text/plain")
    assert list(fields) == ["buin", "appId", "encrypt"]
    assert (str(BUIN), APP_ID) == (fields["buin"], fields["appId"])
    assert vector("V4").message == ENVELOPE.open(fields["encrypt"])
    assert content == ENVELOPE.open(file.decode())
    assert built.body.size == len(file)
    assert (built.path, built.query) == ("/cgi/media/upload", {"accessToken": "tok-0001"})


def test_the_answer_to_an_upload_is_the_vector():
    """mediaId there, media_id in messages."""
    answer = {"errcode": 0, "errmsg": "ok", "encrypt": vector("V6").sealed}

    found = CHANNEL.outcome(upload(b"x", "a"), account(), reply(answer), ACCESS).outcome

    assert isinstance(found, Accepted)
    assert found.receipt.media_id == "0f1e2d3c4b5a69788796a5b4c3d2e1f0-5"


def test_the_sample_of_an_expired_token():
    """100002 asks for another token."""
    body = {"errcode": 100002, "errmsg": "<text>"}

    assert isinstance(CHANNEL.outcome(part(), account(), reply(body), ACCESS).outcome, StaleToken)


def test_the_same_part_gives_the_same_bytes_and_another_part_others():
    """The leading bytes are made of part and content: never the same for different content."""
    first, second = part(), part(n=1)

    def built(one: Any) -> Any:
        return CHANNEL.request(one, account(), ACCESS, flagged=False)

    assert built(first).body == built(first).body
    assert built(first).body != built(second).body
    assert form(built(upload(b"same", "a"))) == form(built(upload(b"same", "a")))
    assert form(built(upload(b"same", "a")))[0] != form(built(upload(b"same", "b")))[0]


def test_neither_key_nor_token_is_in_a_repr():
    """Of the request, which an error may show."""
    shown = repr(CHANNEL.request(part(), account(), ACCESS, flagged=False))

    assert "tok-0001" not in shown
    assert "hello" not in shown


def test_files_stand_where_their_media_id_will():
    """Of a message of one object and of arrays."""
    message = FileMessage(file=File(b"x", "a.txt"))

    assert {"file.media_id": ("file", message.file)} == message.files()
