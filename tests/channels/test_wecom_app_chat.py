"""App group chats: made, changed and sent to, with limits, doubts and refusals of their own."""

from __future__ import annotations

from typing import Any

import pytest
from wecom_app_samples import ACCESS, CHANNEL, JOB, account, card, draft, part, reply, sent

from worker.channels.wecom_app import (
    ChangeChat,
    CreateChat,
    MiniProgramNotice,
    MpNews,
    News,
    Text,
    TextCard,
    message_from_json,
    recipients_from_json,
)
from worker.domain.call import Access
from worker.domain.content.recipient import AppChat, Recipients, To
from worker.domain.job import RepeatRule
from worker.domain.outcome import Accepted, Rejected, Retry

CHAT = {"chats": ["duty2026"]}


def fields_of(job) -> list[str]:
    return [problem.field for problem in CHANNEL.check(job)]


def chat(message, to=None, **fields):
    """A send to a chat before it is stored."""
    return draft(message.document(), AppChat("duty2026") if to is None else to, kind="send_chat", **fields)


def amounts(charges) -> dict:
    return {(charge.limit.name, charge.subject): (charge.limit.amount, charge.units) for charge in charges}


def test_recipients():
    """Chats are recipients like others: counted, kept in order, compared exactly, stored and read back."""
    two = AppChat("b", "A", "b")

    assert two.chats == ("b", "A")
    assert two.count() == 2
    assert two
    assert two == Recipients.from_json(two.to_json())
    assert "A" not in repr(two)


def read(body: dict[str, Any]) -> Any:
    """A body as the vendor's page shows it, as `worker send` reads it."""
    document, to = message_from_json(body).document(), recipients_from_json(body)
    return draft(document, to, kind=CHANNEL.kind_of(document, to), account=account(allow_everyone=True))


@pytest.mark.parametrize(
    "body",
    [
        {"name": "值班群", "owner": "lihua", "userlist": ["lihua", "chenmo"], "chatid": "duty2026"},
        {"chatid": "duty2026", "add_user_list": ["wangwei"]},
    ],
)
def test_a_chat_that_is_made_or_changed_is_no_recipient(body: dict[str, Any]):
    """The page's samples (90245, 98913) name the chat in the message, and nobody to send it to."""
    asked = read(body)

    assert CHANNEL.check(asked) == []
    assert CHANNEL.split(asked) == [{}]
    assert body == asked.message["body"]


@pytest.mark.parametrize("beside", [{"touser": "lihua"}, {"toparty": "7"}, {"totag": "1"}, {"touser": "@all"}])
def test_nobody_beside_a_chat_is_left_out_in_silence(beside: dict[str, Any]):
    """A call is for a chat or for people, so one body for both is refused."""
    asked = read({"chatid": "duty2026", "msgtype": "text", "text": {"content": "交班"}, **beside})

    assert fields_of(asked) == ["chatid"]


def test_one_call_a_chat():
    """Each chat is a part; a split text is all pieces for one chat, then for the next."""
    document, _ = CHANNEL.fit("send_chat", Text(content="x " * 2000).document(), account(), "split")
    asked = draft(document, AppChat("a", "b"), kind="send_chat")

    assert [{"chats": [one], "piece": n} for one in "ab" for n in (0, 1)] == CHANNEL.split(asked)
    assert CHANNEL.warnings(asked) == ["goes to several chats: a member of several gets it several times"]


def test_the_last_piece_mentions_members():
    """Not each of them."""
    document, _ = CHANNEL.fit(
        "send_chat", Text(content="x " * 2000, mentioned_list=["@all"]).document(), account(), "split"
    )

    bodies = [
        sent(CHANNEL.request(part(document, {**CHAT, "piece": n}, kind="send_chat"), account(), ACCESS, flagged=False))
        for n in (0, 1)
    ]

    assert [body["text"].get("mentioned_list") for body in bodies] == [None, ["@all"]]


def test_on_the_wire():
    """A chat instead of recipients, no agentid, and no duplicate check even when it is asked for."""
    built = CHANNEL.request(
        part(Text(content="交班").document(), CHAT, kind="send_chat"), account(), ACCESS, flagged=True
    )

    assert built.path == "/cgi-bin/appchat/send"
    assert sent(built) == {"chatid": "duty2026", "msgtype": "text", "text": {"content": "交班"}}


def test_nothing_makes_a_repeat_of_a_send_safe():
    """A send to a chat is held; making and changing one does no harm twice."""
    assert CHANNEL.repeat_rule("send_chat", part().message) == (RepeatRule.HOLD, 0)
    for kind in ("create_chat", "change_chat"):
        assert CHANNEL.repeat_rule(kind, {}) == (RepeatRule.HARMLESS, 0)
    assert CHANNEL.lane("send_chat", Text(content="a").document(), {}) == "send_chat/text"
    assert CHANNEL.lane("create_chat", {}, {}) == "create_chat"


@pytest.mark.parametrize(
    ("message", "fields"),
    [
        (Text(content="a", mentioned_list=["@all"], safe=1), []),
        (Text(content="a", enable_id_trans=1), ["enable_id_trans"]),
        (News(articles=[{"title": "t", "url": "https://a"}]), []),
        (
            News(articles=[{"title": "t", "appid": "wx1", "pagepath": "p"}]),
            ["news.articles[0].url", "news.articles[0].appid", "news.articles[0].pagepath"],
        ),
        (MpNews(articles=[{"title": "t", "thumb_media_id": "m", "content": "c"}], safe=2), ["safe"]),
        (TextCard(title="标" * 43, description="d", url="https://a"), ["textcard.title"]),
        (MiniProgramNotice(appid="wx1", title="订单发货"), ["msgtype"]),
    ],
)
def test_what_a_chat_takes(message, fields):
    """The vendor's own list of types and options; lengths are bytes whatever the account says."""
    assert fields == fields_of(chat(message, account=account({"textcard_unit": "characters"})))


def test_who_a_chat_is_sent_with():
    """Cards are for members, mentions for chats; chats and people are two jobs."""
    assert fields_of(draft(card(), AppChat("a"), kind="send_chat")) == ["msgtype"]
    assert fields_of(draft(Text(content="a", mentioned_list=["b"]).document())) == ["text.mentioned_list"]
    assert fields_of(chat(Text(content="a"), Recipients(users=("b",), chats=("c",)))) == ["chatid"]
    assert fields_of(chat(Text(content="a"), AppChat("no-such", "ok"))) == ["chatid"]
    assert fields_of(chat(Text(content="a"), AppChat("abc", "ABC"))) == ["chatid"]
    assert fields_of(draft(Text(content="a").document(), AppChat("c"))) == ["chatid"]


@pytest.mark.parametrize(
    ("message", "kind", "fields"),
    [
        (CreateChat(userlist=["a", "b"]), "create_chat", []),
        (CreateChat(userlist=["a"]), "create_chat", ["chat.userlist"]),
        (CreateChat(userlist=[f"u{n}" for n in range(2001)]), "create_chat", ["chat.userlist"]),
        (CreateChat(userlist=["a", "b c"], owner="x y"), "create_chat", ["chat.userlist", "chat.owner"]),
        (CreateChat(userlist=["a", "A"]), "create_chat", ["chat.userlist"]),
        (CreateChat(userlist=["a", "b"], name="群" * 51), "create_chat", ["chat.name"]),
        (CreateChat(userlist=["a", "b"], chatid="no-dash"), "create_chat", ["chat.chatid"]),
        (CreateChat(userlist=["a", "b"], chatid="x" * 33), "create_chat", ["chat.chatid"]),
        (ChangeChat(chatid="duty2026", name="n"), "change_chat", []),
        (ChangeChat(chatid="duty2026"), "change_chat", ["chat"]),
        (ChangeChat(chatid="", add_user_list=["a"]), "change_chat", ["chat.chatid"]),
    ],
)
def test_making_and_changing(message, kind, fields):
    """Members, owner, name and chatid are checked before anything is stored; no recipients."""
    assert fields == fields_of(draft(message.document(), kind=kind))
    assert fields_of(draft(message.document(), To("a"), kind=kind))[-1:] == ["recipients"]


def test_a_chat_is_made_under_a_known_id():
    """Without a chatid it is the job's, which the vendor takes once: 86215 after a lost answer means it was made."""
    made = part(CreateChat(userlist=["a", "b"]).document(), {}, kind="create_chat")
    again = part(made.message, {}, kind="create_chat", in_doubt=True)
    exists = reply({"errcode": 86215, "errmsg": "x"})

    assert sent(CHANNEL.request(made, account(), ACCESS, flagged=False)) == {"userlist": ["a", "b"], "chatid": JOB}
    assert len(JOB) == 32
    assert isinstance(CHANNEL.outcome(made, account(), exists, ACCESS).outcome, Rejected)
    known = CHANNEL.outcome(again, account(), exists, ACCESS).outcome
    assert isinstance(known, Accepted)
    assert (known.receipt.from_repeat, known.receipt.extra) == (True, {"chatid": JOB})


def test_answers():
    """A send to a chat promises no msgid; a chat's own id is kept; a change says nothing."""
    ok = reply({"errcode": 0, "errmsg": "ok"})
    created = reply({"errcode": 0, "errmsg": "ok", "chatid": "duty2026"})

    for kind, message in (("send_chat", Text(content="a").document()), ("change_chat", {"type": "chat_change"})):
        taken = CHANNEL.outcome(part(message, CHAT, kind=kind), account(), ok, ACCESS).outcome.receipt
        assert (taken.msgid, taken.warning, taken.extra) == (None, None, {})
    made = part(CreateChat(userlist=["a", "b"]).document(), {}, kind="create_chat")
    assert CHANNEL.outcome(made, account(), created, ACCESS).outcome.receipt.extra == {"chatid": "duty2026"}
    assert CHANNEL.outcome(made, account(), ok, ACCESS).outcome.receipt.warning == "no chatid in the answer"
    gone = CHANNEL.outcome(part(Text(content="a").document(), CHAT, kind="send_chat"), account(), reply("busy"), ACCESS)
    assert isinstance(gone.outcome, Retry)


def test_limits_of_a_send():
    """Person-times of the corp by the estimate of a chat, and the cap of one member, shared by the app's chats."""
    made = part(Text(content="a").document(), CHAT, kind="send_chat")

    assert amounts(CHANNEL.limits(made, account({"estimates": {"chat": 80}}))) == {
        ("corp_minute", "ww01//cgi-bin/appchat/send"): (10_000, 1),
        ("corp_hour", "ww01//cgi-bin/appchat/send"): (150_000, 1),
        ("chat_minute", "ww01/chats"): (20_000, 80),
        ("chat_hour", "ww01/chats"): (150_000, 80),
        ("chat_member_minute", "ww01/1000007/chats"): (200, 1),
        ("chat_member_day", "ww01/1000007/chats"): (10_000, 1),
    }
    apart = amounts(CHANNEL.limits(made, account({"chats_share_members": False})))
    assert ("chat_member_minute", "ww01/1000007/chats/duty2026") in apart


@pytest.mark.parametrize(
    ("kind", "message", "own"),
    [
        ("create_chat", {}, {"chat_create_day": 1000}),
        ("change_chat", {}, {"chat_change_hour": 1000}),
        (
            "upload",
            {"files": {"media": {"upload_type": "uploadimg"}}},
            {"uploadimg_day": 1000, "uploadimg_month": 3000},
        ),
        ("upload", {"files": {"media": {"upload_type": "image"}}}, {}),
    ],
)
def test_limits_of_other_calls(kind, message, own):
    """What the vendor publishes beside the base limits of the corp."""
    found = {
        charge.limit.name: charge.limit.amount for charge in CHANNEL.limits(part(message, {}, kind=kind), account())
    }

    assert {"corp_minute": 10_000, "corp_hour": 150_000, **own} == found


def test_a_permanent_picture():
    """uploadimg has a path, no type and a url for a receipt; its size is its own."""
    file = {"upload_type": "uploadimg", "name": "a.png", "size": 100, "sha256": "0" * 64}
    message = {"type": "upload", "files": {"media": file}}
    made = part(message, {}, kind="upload", facts={"open": lambda: [b"x"]})
    big = {"type": "upload", "files": {"media": {**file, "size": 2 * 1024 * 1024 + 1}}}

    built = CHANNEL.request(made, account(), Access("tok"), flagged=False)
    taken = CHANNEL.outcome(
        made, account(), reply({"errcode": 0, "errmsg": "", "url": "http://p.qpic.cn/x"}), ACCESS
    ).outcome.receipt

    assert (built.path, built.query) == ("/cgi-bin/media/uploadimg", {"access_token": "tok"})
    assert (taken.media_id, taken.extra) == (None, {"url": "http://p.qpic.cn/x"})
    assert fields_of(draft(big, kind="upload")) == ["media"]
    assert (
        CHANNEL.outcome(made, account(), reply({"errcode": 0}), ACCESS).outcome.receipt.warning
        == "no url in the answer"
    )
