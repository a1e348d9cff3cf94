"""Group chats that apps make: made, changed, read, sent to."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.unit.simulator.samples import URL, news

NOON = datetime(2026, 7, 1, 4, 0, tzinfo=UTC).timestamp()
"""In Shanghai."""
CHAT = {"name": "duty", "owner": "lihua", "userlist": ["lihua", "ChenMo", "wangwei"], "chatid": "duty2026"}


class Chats:
    """The calls of group chats."""

    def __init__(self, vendor: Any) -> None:
        self.vendor = vendor

    def create(self, **body: Any) -> dict[str, Any]:
        """The reply of appchat/create; a body without its empty fields."""
        token = body.pop("token", None)
        given = {name: value for name, value in {**CHAT, **body}.items() if value is not None}
        return dict(self.vendor.post("appchat/create", given, token=token).json())

    def update(self, **body: Any) -> int:
        """The code of appchat/update."""
        token = body.pop("token", None)
        return int(self.vendor.post("appchat/update", {"chatid": "duty2026", **body}, token=token).json()["errcode"])

    def get(self, chatid: str = "duty2026", token: str | None = None) -> dict[str, Any]:
        """The reply of appchat/get."""
        url = f"{self.vendor.url}/cgi-bin/appchat/get"
        query = {"access_token": token or self.vendor.token(), "chatid": chatid}
        return dict(self.vendor.session.get(url, params=query, timeout=60).json())

    def send(self, msgtype: str = "text", content: Any = None, token: str | None = None, **more: Any) -> dict[str, Any]:
        """The reply of appchat/send."""
        body = {"chatid": "duty2026", "msgtype": msgtype, msgtype: content or {"content": "hi"}, **more}
        return dict(self.vendor.post("appchat/send", body, token=token).json())


@pytest.fixture
def chats(vendor: Any) -> Chats:
    """No chats yet."""
    return Chats(vendor)


def test_made_and_read(chats: Chats) -> None:
    """A chat is what was asked for, members in lower case and once."""
    reply = chats.create(userlist=["lihua", "ChenMo", "CHENMO", "wangwei"])

    assert reply == {"errcode": 0, "errmsg": "ok", "chatid": "duty2026"}
    info = {
        "chatid": "duty2026",
        "name": "duty",
        "owner": "lihua",
        "userlist": ["lihua", "chenmo", "wangwei"],
        "chat_type": 0,
    }
    assert {"errcode": 0, "errmsg": "ok", "chat_info": info} == chats.get()


def test_made_by_the_vendors_choice(chats: Chats) -> None:
    """Without chatid and owner there are some; a name beyond 50 characters is cut in silence."""
    chatid = chats.create(chatid=None, owner=None, name="群" * 51)["chatid"]

    info = chats.get(chatid)["chat_info"]
    assert (info["owner"], info["name"]) == ("lihua", "群" * 50)
    (shown,) = chats.vendor.control("GET", "chats")["chats"]
    cut = {"field": "chat.name", "why": "cut", "limit": 50, "unit": "chars", "size": 51}
    assert [cut] == shown["altered"]


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (86204, {"userlist": None}),
        (86204, {"userlist": "lihua|chenmo"}),
        (86006, {"userlist": ["lihua"]}),
        (86006, {"userlist": ["lihua", "LiHua"]}),
        (86006, {"userlist": [f"u{n}" for n in range(2001)]}),
        (86007, {"userlist": ["lihua", "no spaces"]}),
        (86007, {"userlist": ["lihua", 5]}),
        (86216, {"userlist": ["lihua", "ghost1"]}),
        (86005, {"owner": "no spaces"}),
        (86207, {"owner": "stranger"}),
        (86001, {"chatid": "no-dash"}),
        (86205, {"chatid": "x" * 33}),
    ],
)
def test_chats_that_cannot_be(chats: Chats, code: int, body: dict[str, Any]) -> None:
    """Members, owner and chatid are checked; nothing is made."""
    assert code == chats.create(**body)["errcode"]
    assert chats.vendor.control("GET", "chats")["chats"] == []


def test_two_thousand_members_and_a_long_chatid(chats: Chats) -> None:
    """The limits themselves are allowed."""
    reply = chats.create(userlist=[f"u{n}" for n in range(2000)], owner="u1", chatid="x" * 32)

    assert reply["errcode"] == 0


def test_a_chatid_is_taken_once_in_a_corp(chats: Chats) -> None:
    """Also by another app; other corps and other letters have their own."""
    other_app, other_corp = chats.vendor.token("ww1", "other"), chats.vendor.token("ww2", "s")

    codes = [
        chats.create(**more)["errcode"]
        for more in ({}, {}, {"token": other_app}, {"token": other_corp}, {"chatid": "Duty2026"})
    ]

    assert codes == [0, 86215, 86215, 0, 0]


def test_who_may_use_a_chat(chats: Chats) -> None:
    """Only its app (86008); nobody one that is unknown (86003) or dissolved (49008)."""
    other = chats.vendor.token("ww1", "other")
    unknown = [chats.get()["errcode"], chats.update(name="x"), chats.send()["errcode"]]
    chats.create()
    foreign = [
        chats.get(token=other)["errcode"],
        chats.update(name="x", token=other),
        chats.send(token=other)["errcode"],
    ]
    gone = chats.vendor.control("POST", "chats", {"dissolve": "duty2026"})

    assert unknown == [86003] * 3
    assert foreign == [86008] * 3
    assert gone == {"dissolved": 1}
    assert [chats.get()["errcode"], chats.update(name="x"), chats.send()["errcode"]] == [49008] * 3
    assert [chats.get("")["errcode"], chats.update(chatid=""), chats.send(chatid="")["errcode"]] == [86201] * 3
    chats.vendor.settings(chat={"unknown_code": 40050})
    assert chats.get("nochat")["errcode"] == 40050


def test_apps_without_the_whole_corp_have_no_chats(chats: Chats) -> None:
    """An app whose visible range is not the root department is refused everywhere; the code is a setting."""
    chats.vendor.settings(apps=[{"corpid": "wwA", "secret": "s", "root_scope": False}])
    token = chats.vendor.token("wwA", "s")

    codes = [
        chats.create(token=token)["errcode"],
        chats.send(token=token)["errcode"],
        chats.get(token=token)["errcode"],
    ]
    chats.vendor.settings(chat={"no_scope_code": 60011})

    assert codes == [48002] * 3
    assert chats.update(name="x", token=token) == 60011


def test_changed(chats: Chats) -> None:
    """Name, owner and members; who comes and is there already is no second member."""
    chats.create()

    assert chats.update(name="night", owner="chenmo", add_user_list=["Ann", "lihua"], del_user_list=["wangwei"]) == 0
    info = chats.get()["chat_info"]
    assert (info["name"], info["owner"], info["userlist"]) == ("night", "chenmo", ["lihua", "chenmo", "ann"])


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (86203, {"del_user_list": ["lihua"]}),
        (0, {"del_user_list": ["lihua"], "owner": "chenmo"}),
        (86207, {"del_user_list": ["lihua"], "owner": "stranger"}),
        (86216, {"add_user_list": ["ghost1"]}),
        (86216, {"del_user_list": ["stranger"]}),
        (86007, {"add_user_list": ["no spaces"]}),
        (86006, {"del_user_list": ["wangwei", "chenmo"]}),
        (86006, {"add_user_list": [f"u{n}" for n in range(1998)]}),
    ],
)
def test_changes_that_cannot_be(chats: Chats, code: int, body: dict[str, Any]) -> None:
    """An owner who goes names the next; only who exists comes, only who is there goes; a refusal changes nothing."""
    chats.create()
    before = chats.get()

    assert code == chats.update(**body)
    assert (before == chats.get()) is bool(code)


def test_strangers_may_be_left_out_instead(chats: Chats) -> None:
    """By setting, unknown members and leavers are ignored, and a chat may run empty."""
    chats.vendor.settings(chat={"unknown_member_code": 0, "too_few_code": 0})
    chats.create(userlist=["lihua", "chenmo", "ghost1"])

    assert chats.update(add_user_list=["ghost2"], del_user_list=["stranger", "chenmo"]) == 0
    assert chats.get()["chat_info"]["userlist"] == ["lihua"]


def test_sent_to_its_members(chats: Chats) -> None:
    """Every member sees it, under the chat and without a msgid; the mentioned are told so."""
    chats.create()

    replies = [
        chats.send(content={"content": "hi", "mentioned_list": ["WangWei", "stranger"]}, safe=1),
        chats.send("markdown", {"content": "# hi <@chenmo>"}),
        chats.send(content={"content": "hi", "mentioned_list": ["@all"]}),
    ]

    assert replies == [{"errcode": 0, "errmsg": "ok"}] * 3
    seen = {user: chats.vendor.inbox(user) for user in ("lihua", "chenmo", "wangwei")}
    assert {user: [one["mentioned"] for one in messages] for user, messages in seen.items()} == {
        "lihua": [False, False, True],
        "chenmo": [False, True, True],
        "wangwei": [True, False, True],
    }
    assert {(one["chatid"], one["msgid"]) for one in seen["lihua"]} == {("duty2026", None)}
    assert [one["safe"] for one in seen["lihua"]] == [1, 0, 0]
    assert set(chats.vendor.control("GET", "inbox")["people"]) == {"lihua", "chenmo", "wangwei"}


def test_mentions_of_a_wrong_type(chats: Chats) -> None:
    """Entries that are no userids are not read, and the answer warns; null is nobody."""
    chats.create()

    warned = chats.send(content={"content": "hi", "mentioned_list": ["chenmo", 5]})
    empty = chats.send(content={"content": "hi", "mentioned_list": None})

    assert [warned["errmsg"], empty["errmsg"]] == ["ok. Warning: wrong json format. ", "ok"]
    first, second = chats.vendor.inbox("chenmo")
    assert [first["mentioned"], second["mentioned"]] == [True, False]
    assert first["content"]["mentioned_list"] == ["chenmo"]


@pytest.mark.parametrize(
    ("code", "msgtype", "content", "more"),
    [
        (40008, "template_card", {"card_type": "text_notice"}, {}),
        (40008, "miniprogram_notice", {"appid": "wx1", "title": "订单发货"}, {}),
        (44004, "text", {"content": ""}, {}),
        (45002, "markdown", {"content": "x" * 2049}, {}),
        (41006, "image", {"media_id": ""}, {}),
        (40007, "file", {"media_id": "none"}, {}),
        (40058, "text", None, {"safe": 2}),
        (40074, "news", {"articles": [{"title": "t", "url": URL}]}, {"safe": 1}),
        (41010, "news", {"articles": [{"title": "t", "appid": "wx1", "pagepath": "p"}]}, {}),
        (41033, "textcard", {"title": "t", "url": URL}, {}),
    ],
)
def test_messages_a_chat_does_not_take(
    chats: Chats, code: int, msgtype: str, content: Any, more: dict[str, Any]
) -> None:
    """No cards, no mini programs, and otherwise the codes of message/send."""
    chats.create()

    assert code == chats.send(msgtype, content, **more)["errcode"]
    assert chats.vendor.control("GET", "inbox")["people"] == {}


def test_the_code_of_other_types_is_a_setting(chats: Chats) -> None:
    """Pages do not say how a card in a chat is refused."""
    chats.create()
    chats.vendor.settings(chat={"msgtype_code": 40058})

    assert chats.send("template_card", {"card_type": "text_notice"})["errcode"] == 40058


def test_cut_and_ignored_in_chats(chats: Chats) -> None:
    """Textcards are measured in bytes, no ids are translated, and a mini program in an article is nothing."""
    chats.create()
    chats.send("textcard", {"title": "字" * 43, "description": "字" * 171, "url": URL})
    chats.send(content={"content": "$userName=lihua$"}, enable_id_trans=1)
    chats.send("news", {**news()["news"], "articles": [{"title": "t", "url": URL, "appid": "wx1", "pagepath": "p"}]})

    card, text, article = chats.vendor.inbox("chenmo")
    assert [(one["field"], one["limit"], one["unit"]) for one in card["altered"]] == [
        ("textcard.title", 128, "bytes"),
        ("textcard.description", 512, "bytes"),
    ]
    assert (text["content"]["content"], text["altered"]) == ("$userName=lihua$", [])
    assert [one["why"] for one in article["altered"]] == ["not defined", "not defined"]
    assert article["content"]["articles"] == [{"title": "t", "url": URL}]


def test_alike_in_one_chat(chats: Chats) -> None:
    """The same text twice in a chat is a duplicate for its members; in two chats it is none."""
    chats.create()
    chats.create(chatid="other")
    chats.send()
    chats.send(chatid="other")
    alone = chats.vendor.violations()["duplicates"]
    chats.send()

    assert alone == []
    assert {one["user"] for one in chats.vendor.violations()["duplicates"]} == {"lihua", "chenmo", "wangwei"}


def test_limits_of_making_and_changing(chats: Chats) -> None:
    """So many chats a day and changes an hour in a corp; the penalty lasts as long."""
    chats.vendor.control("POST", "clock", {"set": NOON, "frozen": True})
    chats.vendor.settings(limits={"chats_per_day": 1, "chat_changes_per_hour": 2})

    made = [chats.create()["errcode"], chats.create(chatid="two")["errcode"]]
    changed = [chats.update(name=str(n)) for n in range(3)]
    chats.vendor.advance(3601)

    assert made == [0, 45009]
    assert changed == [0, 0, 45009]
    assert [chats.update(name="x"), chats.create(chatid="two")["errcode"]] == [0, 45009]


def test_refused_chats_count_for_nothing(chats: Chats) -> None:
    """Only chats that were made count against the day."""
    chats.vendor.settings(limits={"chats_per_day": 1})

    assert [chats.create(userlist=["lihua"], owner=None)["errcode"], chats.create()["errcode"]] == [86006, 0]


def test_limits_of_sending(chats: Chats) -> None:
    """Person-times of the corp are refused beyond, messages of one member dropped in silence."""
    chats.create()
    chats.vendor.settings(limits={"chat_member_per_minute": 2})
    dropped = [chats.send()["errcode"] for _ in range(3)]
    chats.vendor.settings(limits={"chat_persons_per_minute": 12})
    refused = [chats.send()["errcode"] for _ in range(2)]

    assert dropped == [0, 0, 0]
    assert refused == [0, 45009]
    assert len(chats.vendor.inbox("chenmo")) == 2
    drops = chats.vendor.violations()["drops"]
    assert {(one["user"], one["chatid"]) for one in drops} == {
        ("lihua", "duty2026"),
        ("chenmo", "duty2026"),
        ("wangwei", "duty2026"),
    }
