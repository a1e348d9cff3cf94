"""A webhook's calls: the vendor's samples go out as they are, answers are understood, the key is shown nowhere."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from wecom_webhook_samples import (
    ACCESS,
    ALL_ADDRESSED,
    CHANNEL,
    JOB,
    KEY,
    PNG,
    account,
    document,
    draft,
    part,
    reply,
    sent,
)

from tests.support.on_the_wire import body_sent
from worker.channels.wecom.answer import ELSEWHERE, PROXY_LOGIN
from worker.channels.wecom_webhook import Image, MarkdownV2, Raw, Text, message_from_json, message_to_json
from worker.channels.wecom_webhook.messages import CARD_CLASSES, CLASSES, recipients_from_json
from worker.domain.call import Access
from worker.domain.content.message import File
from worker.domain.content.recipient import Chats, Everyone, Recipients
from worker.domain.errors import WorkerError
from worker.domain.job import Part, RepeatRule
from worker.domain.outcome import Accepted, Progress, Rejected, Unknown

GOLDEN = Path(__file__).parent / "golden" / "webhook"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))


def golden(name: str) -> dict[str, Any]:
    """A sample of the vendor's pages, with values of our own."""
    body: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return body


@pytest.mark.parametrize("name", NAMES)
def test_every_sample_goes_out_as_it_is(name: str) -> None:
    """Read into its type, checked, sent as the same JSON but for our ids of buttons, and read back equal."""
    body = golden(name)
    message, to = message_from_json(body), recipients_from_json(body)
    asked = draft(message, to)
    assert CHANNEL.check(asked) == []

    (spec,) = CHANNEL.split(asked)
    facts = {"inline": {path: b"".join(file.chunks()) for path, (_, file) in message.files().items()}}
    out = sent(part(message, spec, facts=facts))

    assert not isinstance(message, Raw)
    for place, attachment in enumerate(body.get("markdown", {}).get("attachments", ())):
        attachment["callback_id"] = f"w{JOB}-0.{place}"
    assert body == out
    if name != "image":  # whose bytes are in no JSON
        assert message == message_from_json(json.dumps(message_to_json(message)))


def test_every_type_has_a_sample() -> None:
    """Types and cards that are read back from JSON."""
    assert CLASSES.keys() | CARD_CLASSES.keys() == set(NAMES)


def test_the_call_of_a_send() -> None:
    """One path, the key in the query, raw UTF-8 with sorted names; the same part gives the same bytes."""
    message = Text(content="你好\n")

    first, second = (CHANNEL.request(part(message), account(), ACCESS, flagged=flagged) for flagged in (True, False))

    assert (first.method, first.path, first.query) == ("POST", "/cgi-bin/webhook/send", {"key": KEY})
    assert (first.body or b"").decode() == '{"chatid":"wr1","msgtype":"text","text":{"content":"你好\\n"}}'  # type: ignore[union-attr]
    assert first.body == second.body
    assert 20 <= first.deadline_s < 21


@pytest.mark.parametrize(
    ("to", "chatid"),
    [
        (Chats("zhangsan"), "zhangsan"),
        (Everyone("groups"), "@all_group"),
        (Everyone("blackboards"), "@all_blackboard"),
        (Everyone("all"), "@all"),
    ],
)
def test_message_push_always_says_where_to(to: Recipients, chatid: str) -> None:
    """Never without a chatid."""
    message = message_from_json({"msgtype": "markdown", "markdown": {"content": "x"}})

    (spec,) = CHANNEL.split(draft(message, to))

    assert chatid == sent(part(message, spec))["chatid"]


def test_a_robot_says_nothing_of_it() -> None:
    """It has one chat."""
    message = MarkdownV2(content="x")
    (spec,) = CHANNEL.split(draft(message, account=account("robot")))

    assert sent(part(message, spec), account("robot")) == {"msgtype": "markdown_v2", "markdown_v2": {"content": "x"}}


def test_each_chat_has_a_lane_of_its_own() -> None:
    """On a robot the key has one; uploads have theirs, apart where they are fetched first."""
    file = {"files": {"media": {"upload_type": "voice"}}}
    fetched = {"files": {"media": {"upload_type": "file", "url": "https://e.com"}}}
    lanes = [
        CHANNEL.lane("send", {}, {"chats": ["wr1"]}),
        CHANNEL.lane("send", {}, {"chats": ["WR2"], "piece": 1}),
        CHANNEL.lane("send", {}, {"everyone": True, "audience": "groups"}),
        CHANNEL.lane("send", {}, {}),
        CHANNEL.lane("upload", file, {}),
        CHANNEL.lane("upload", fetched, {}),
    ]

    assert lanes == ["send/chat/wr1", "send/chat/wr2", "send/everyone", "send", "upload/voice", "upload/file/url"]


def test_a_picture_is_read_when_it_is_sent() -> None:
    """base64 and the MD5 of the bytes; its row holds neither, and equal pictures have equal hashes."""
    message = Image(file=File(PNG, "a.png"))
    stored = document(message)
    first, second = (part(stored, facts={"inline": {"image.base64": content}}) for content in (PNG, PNG + b"\0"))

    out = sent(first)

    assert stored["body"] == {"image": {}}
    assert hashlib.md5(PNG).hexdigest() == out["image"]["md5"]
    assert out["image"].keys() == {"base64", "md5"}
    hashes = {CHANNEL.body_hash(one, account()) for one in (first, first, second)}
    assert len(hashes) == 2


def test_equal_bodies_have_equal_hashes_of_one_key_alone() -> None:
    """Other keys, chats and texts have others."""
    base = CHANNEL.body_hash(part(), account())
    others = [
        CHANNEL.body_hash(part(spec={"chats": ["wr2"]}), account()),
        CHANNEL.body_hash(part(Text(content="other")), account()),
        CHANNEL.body_hash(part(), account("robot")),
    ]

    assert base == CHANNEL.body_hash(part(n=3), account())
    assert base not in others


def test_an_upload_on_the_wire() -> None:
    """The multipart body is the sample's, with the raw UTF-8 name."""
    head, _, wanted = (GOLDEN / "upload.http").read_text(encoding="utf-8").partition("\n\n")
    file = {"upload_type": "file", "name": "七月报表.pdf", "size": 12, "sha256": "0" * 64}
    made = Part("j-0", "j", 0, "upload", CHANNEL.upload_part(file), {}, facts={"open": lambda: [b"x" * 12]})

    built = CHANNEL.request(made, account(), ACCESS, flagged=False)

    query = "&".join(f"{name}={value}" for name, value in built.query.items())
    assert head == f"{built.method} {built.path}?{query}"
    assert wanted.replace("<12 bytes>", "x" * 12).replace("\n", "\r\n").encode() == body_sent(built)
    assert CHANNEL.body_hash(made, account()) == CHANNEL.body_hash(made, account())


def test_what_is_asked_of_a_webhook_beside_calls() -> None:
    """No repeat is safe but an upload's; a media_id belongs to its key; there is no token."""
    assert CHANNEL.repeat_rule("send", part().message) == (RepeatRule.HOLD, 0)
    assert CHANNEL.repeat_rule("upload", {}) == (RepeatRule.HARMLESS, 0)
    assert CHANNEL.media_scope(account()) == "webhook:alerts"
    limits = [CHANNEL.upload_limit(account(), one) for one in ("file", "voice", "inline")]
    assert [20 << 20, 2 << 20, 2 << 20] == limits
    assert "no msgid" in str(CHANNEL.follow_up_problem("recall", "send"))
    with pytest.raises(WorkerError, match="wecom_webhook gets no token with a secret"):
        CHANNEL.token_request(account(), "s", 0)
    with pytest.raises(WorkerError, match="wecom_webhook gets no token with a secret"):
        CHANNEL.token_outcome(reply({}), account(), "s")


@pytest.mark.parametrize(("amounts", "names"), [({}, 3), ({"equal_bodies": 0, "chat_minute": 7}, 2)])
def test_an_accounts_amounts_go_before_ours(amounts: dict[str, int], names: int) -> None:
    """0 switches one off."""
    charges = CHANNEL.limits(part(), account(settings=ALL_ADDRESSED, limits=amounts))

    assert names == len(charges)
    assert [amounts.get("chat_minute", 100)] == [one.limit.amount for one in charges if one.limit.name == "chat_minute"]
    assert CHANNEL.limits(part(kind="upload"), account()) == []


# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("status", "remedy"), [(407, PROXY_LOGIN), (404, ELSEWHERE), (302, ELSEWHERE)])
def test_what_a_proxy_or_a_wrong_place_answers_says_what_to_change(status: int, remedy: str) -> None:
    """The post may have been made all the same, so it stays in doubt."""
    assert Unknown(f"http_{status}: {remedy}") == outcome(b"no", status=status)


def outcome(answer: Any, made: Part | None = None, status: int = 200, access: Access = ACCESS, **headers: str) -> Any:
    """What an answer means."""
    return CHANNEL.outcome(made or part(), account(), reply(answer, status, **headers), access).outcome


def test_a_success_brings_no_id() -> None:
    """Also where one stood there: none is documented."""
    taken = outcome({"errcode": 0, "errmsg": "ok", "msgid": "m"}).receipt

    assert (taken.msgid, taken.response_code, taken.warning, taken.from_repeat) == (None, None, None, False)
    assert "wrong JSON" in outcome({"errcode": 0, "errmsg": "ok. Warning: wrong json format. "}).receipt.warning


@pytest.mark.parametrize("created_at", ["1380000000", 1380000000])
def test_an_upload_brings_a_media_id(created_at: Any) -> None:
    """For three days, made when the vendor says, as a number or a text; without one it is told."""
    made = part({"type": "upload", "files": {"media": {"upload_type": "file"}}}, {}, kind="upload")

    taken = outcome({"errcode": 0, "errmsg": "ok", "media_id": "3x", "created_at": created_at}, made).receipt

    assert (taken.media_id, taken.warning) == ("3x", None)
    assert taken.extra == {"created_at": "1380000000"}
    assert "no media_id" in outcome({"errcode": 0, "errmsg": "ok"}, made).receipt.warning


@pytest.mark.parametrize(
    ("status", "body"),
    [(502, b"<html>"), (503, b""), (429, b""), (200, b"<html>"), (404, b"404"), (500, b"[1]"), (413, b"")],
)
def test_what_the_vendor_did_not_say_proves_nothing(status: int, body: bytes) -> None:
    """Also with Retry-After: what stands behind a proxy may have posted it."""
    assert isinstance(outcome(body, status=status), Unknown)
    assert isinstance(outcome(body, status=status, retry_after="5"), Unknown)


def test_the_errcode_decides_whatever_the_status() -> None:
    """An HTTP 500 with the vendor's JSON is the vendor's word."""
    assert isinstance(outcome({"errcode": 0, "errmsg": "ok"}, status=500), Accepted)


def test_a_member_is_refused_the_second_time() -> None:
    """93005 goes on with a spec that remembers, and then names him."""
    first = outcome({"errcode": 93005, "errmsg": "x"}, part(spec={"chats": ["zhangsan"], "piece": 1}))
    assert isinstance(first, Progress)

    second = outcome({"errcode": 93005, "errmsg": "x"}, part(spec=dict(first.spec)))

    assert tuple(getattr(second.refusals[0], name) for name in ("recipient", "kind", "field")) == (
        "zhangsan",
        "chat",
        "chatid",
    )
    assert first.spec == {"chats": ["zhangsan"], "piece": 1, "asked_again": True}
    assert "opted out" in second.reason


def test_a_file_we_keep_is_uploaded_again() -> None:
    """Not while an earlier call is in doubt, and not where the caller gave the media_id."""
    stored = {"type": "file", "body": {"file": {}}, "files": {"file.media_id": {}}}
    given = {"type": "file", "body": {"file": {"media_id": "m"}}}
    gone = {"errcode": 40007, "errmsg": "invalid media_id"}

    heals = [outcome(gone, made).retry_with for made in (part(stored), part(given), part(stored, in_doubt=True))]

    assert heals == ["media", None, None]


@pytest.mark.parametrize("code", [40001, 42001, 424242])
def test_what_no_webhook_should_hear_ends(code: int) -> None:
    """A token's refusal, and codes nobody has seen, never loop."""
    assert isinstance(outcome({"errcode": code, "errmsg": "x"}), Rejected)


def test_a_code_of_webhooks_that_is_not_published_is_unknown() -> None:
    """To an app all of them are another feature's, and its remedy is of no use here."""
    unseen = outcome({"errcode": 93010, "errmsg": "x"})

    assert isinstance(unseen, Rejected)
    assert unseen.unknown_code
    assert CHANNEL.explain(93010, "en") is None


@pytest.mark.parametrize("key", [KEY, "k-7"])
def test_the_key_is_in_nothing_that_is_kept(key: str) -> None:
    """Not in a `repr`, not in the vendor's words where it quotes its own address, however short it is."""
    made, access = part(Text(content="x")), Access(secret=key)
    built = CHANNEL.request(made, account(), access, flagged=False)
    said = {"errcode": 93000, "errmsg": f"invalid webhook url {key}, hint: [17], from ip: 1.2.3.4, more info at x"}

    verdict = CHANNEL.outcome(made, account(), reply(said), access)

    assert key not in repr(built) + repr(access) + repr(verdict) + repr(made)
    assert (verdict.errmsg, verdict.hint, verdict.caller_ip) == ("invalid webhook url ***", "17", "1.2.3.4")


def test_each_chat_has_a_call_of_its_own() -> None:
    """In their order, each with the limit of its own minute."""
    text = draft(Text(content="x"), Chats("wr1", "zhangsan"))

    specs = CHANNEL.split(text)

    assert specs == [{"chats": ["wr1"]}, {"chats": ["zhangsan"]}]
    assert [CHANNEL.lane("send", text.message, spec) for spec in specs] == ["send/chat/wr1", "send/chat/zhangsan"]
    assert "alerts/wr1" in [one.subject for one in CHANNEL.limits(part(spec=specs[0]), account())]
