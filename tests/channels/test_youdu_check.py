"""What the door refuses, what it warns of, and what goes through."""

from __future__ import annotations

from typing import Any

import pytest
from youdu_samples import ACCESS, CHANNEL, HOSTS, account, account_for, draft, part, sent, text

from worker.channels.youdu import (
    Badge,
    ExLink,
    FileMessage,
    Image,
    Link,
    Mail,
    MpNews,
    PopWindow,
    Raw,
    Sms,
    SysMsg,
    Text,
    Upload,
    message_from_json,
)
from worker.domain.account import Account, Secret
from worker.domain.content.message import File
from worker.domain.content.recipient import AppChat, Customers, Emails, Everyone, Recipients, To
from worker.domain.errors import CheckFailed
from worker.domain.job import RepeatRule

LOUD = {"allow_everyone": True}
LINK = {"title": "t", "url": "https://oa.example.test/1"}


def problems(message: Any, to: Recipients | None = None, **fields: Any) -> list[str]:
    """What the door says to a message, by field."""
    document = message if isinstance(message, dict) else message.document()
    return [one.field for one in CHANNEL.check(draft(document, to, **fields))]


def warnings(message: Any, to: Recipients | None = None, **fields: Any) -> list[str]:
    return CHANNEL.warnings(draft(message.document(), to, **fields))


LONG = [
    (Text(content="x" * 601), "text.content"),
    (Text(content="字" * 601), "text.content"),
    (Text(content="😀" * 301), "text.content"),  # units of UTF-16: the longer reading of "characters"
    (Link(title="x" * 65, url="u"), "link.title"),
    (Sms(sender="1", content="x" * 601), "sms.content"),
    (MpNews(items=[{"title": "x" * 65, "media_id": "m", "content": "c"}]), "mpnews[0].title"),
    (MpNews(items=[{"title": "t", "media_id": "m", "content": "x" * 601}]), "mpnews[0].content"),
    (MpNews(items=[{"title": "t", "media_id": "m", "content": "c", "digest": "x" * 121}]), "mpnews[0].digest"),
    (ExLink(items=[{"title": "x" * 65, "url": "u", "media_id": "m"}]), "exlink[0].title"),
    (ExLink(items=[{"title": "t", "url": "u", "media_id": "m", "digest": "x" * 121}]), "exlink[0].digest"),
    (SysMsg(title="x" * 65, msg=[{"text": {"content": "c"}}]), "sysMsg.title"),
    (SysMsg(title="t", msg=[{"text": {"content": "x" * 601}}]), "sysMsg.msg[0].text.content"),
    (SysMsg(title="t", msg=[{"link": {**LINK, "title": "x" * 65}}]), "sysMsg.msg[0].link.title"),
]


@pytest.mark.parametrize(("message", "field"), LONG)
def test_what_the_vendor_cuts_or_does_not_allow_is_refused(message: Any, field: str):
    """With the limit and the size that was found."""
    (problem,) = CHANNEL.check(draft(message.document()))

    assert (field, "characters") == (problem.field, problem.unit)
    assert problem.size > problem.limit
    assert "x" * 20 not in str(problem)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (Text(content=" "), "text.content"),
        (Image(), "image.media_id"),
        (FileMessage(), "file.media_id"),
        (MpNews(items=[]), "mpnews"),
        (MpNews(items=[{"title": "t", "media_id": "m", "content": "c"}] * 6), "mpnews"),
        (MpNews(items=[{"title": "t", "content": "c"}]), "mpnews[0].media_id"),
        (MpNews(items=[{"title": "t", "media_id": "m", "content": "c", "showFront": 2}]), "mpnews[0].showFront"),
        (ExLink(items=[{"title": "t", "url": "u", "media_id": "m"}] * 6), "exlink"),
        (Link(title="t", url=""), "link.url"),
        (Link(title="t", url="https://oa.example.test", action=2), "link.action"),
        (SysMsg(title="t", msg=[]), "sysMsg.msg"),
        (SysMsg(title="t", msg=[{}]), "sysMsg.msg[0]"),
        (SysMsg(title="t", msg=[{"text": {"content": "c"}, "link": LINK}]), "sysMsg.msg[0]"),
        (SysMsg(title="t", msg=[{"text": {"content": "c"}}], only_online=True), "toAll.onlyOnline"),
        (Mail(action="old"), "mail.action"),
        (Mail(action="new", time=1_700_000_000_000), "mail.time"),
        (Mail(action="new", time=0), "mail.time"),
        (Mail(action="unread", unreadCount=-1), "mail.unreadCount"),
        (PopWindow(), "popWindow.url"),
        (PopWindow(tip="t", position=5), "popWindow.position"),
        (PopWindow(tip="t", duration=-2), "popWindow.duration"),
        (PopWindow(tip="t", width=-1), "popWindow.width"),
        (Badge(count=-1), "count"),
        (Raw(msgtype="text", body={"text": {"content": "a"}, "toUser": "b"}), "toUser"),
        (Raw(msgtype="voice", body={}), "body.voice"),
        (Raw(msgtype="popWindow", body={"popWindow": {}}), "msgType"),
        (Raw(msgtype="no way", body={}), "msgType"),
        (Text(content="bell \x07"), ".text.content"),
        (Text(content="half \ud800"), ".text.content"),
    ],
)
def test_what_is_wrong_with_a_message(message: Any, field: str):
    """By the vendor's name of the field."""
    assert field.lstrip(".") in [one.lstrip(".") for one in problems(message)]


def test_a_control_character_has_no_code_of_another_vendor():
    """The check is shared, the code is not."""
    (problem,) = CHANNEL.check(draft(Text(content="bell \x07").document()))

    assert "40033" not in str(problem)


GOOD = [
    Text(content="x" * 600),
    Text(content="😀" * 300),
    Link(title="字" * 64, url="https://elsewhere.test/", action=0),
    Link(title="t", url="https://oa.example.test/1?a=b#c", action=1),
    SysMsg(title="t", msg=[{"text": {"content": "c"}}, {"link": LINK}], popDuration=-1),
    Mail(),
    Mail(action="new", subject="", fromUser="a", time=1_700_000_000, link="https://m/1"),
    Mail(action="unread", unreadCount=0),
    Sms(sender="13800000000", content="received"),
    ExLink(items=[{"title": "t", "url": "u", "media_id": "", "link_type": 0, "date_hide": 0, "subtitle": ""}]),
    PopWindow(url="https://a/", duration=-1, position=0, pop_mode=9),
    Badge(count=0),
    Raw(msgtype="voice", body={"voice": {"media_id": "m"}}),
]


@pytest.mark.parametrize("message", GOOD)
def test_what_is_right_goes_through(message: Any):
    """At its limits."""
    assert problems(message) == []


# -- recipients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "to", "field"),
    [
        (text(), Recipients(), "toUser"),
        (text(), To("a|" + "x" * 65), "toUser"),
        (text(), To(["😀" * 33]), "toUser"),
        (text(), To(["a\nb"]), "toUser"),
        (text(), To(parties=["0"]), "toDept"),
        (text(), To(parties=[7, 0]), "toDept"),
        (text(), To(parties=["00"]), "toDept"),
        (text(), To(parties=["-1"]), "toDept"),
        (text(), To(tags=["1"]), "to"),
        (text(), AppChat("c"), "to"),
        (text(), Customers(["w"]), "to"),
        (text(), Emails("a@b.test"), "toEmail"),
        (Mail(), Recipients(users=("alice",), emails=("a@b.test",)), "toEmail"),
        (Mail(), Emails("nobody"), "toEmail"),
        (Mail(), To(parties=["7"]), "toDept"),
        (Mail(), Everyone(), "toDept"),
        (Badge(count=1), To(parties=["7"]), "toDept"),
        (Badge(count=1), Everyone(), "toDept"),
        (text(), Everyone("groups"), "to"),
        (text(), Recipients(users=("a",), everyone=True), "toDept"),
    ],
)
def test_recipients_that_a_message_cannot_have(message: Any, to: Recipients, field: str):
    """A stray 0 is a broadcast to the vendor, so it is refused among departments; nobody is named."""
    document = message if isinstance(message, dict) else message.document()
    found = CHANNEL.check(draft(document, to, account=account_for(document["type"], **LOUD)))

    assert field in [one.field for one in found]
    assert not any("x" * 10 in str(one) for one in found)


@pytest.mark.parametrize("bad", ["a|b"])
def test_an_account_with_a_bar_is_refused(bad: str):
    """The bar separates accounts: it would be two people."""
    assert problems(text(), Recipients(users=(bad,))) == ["toUser"]


def test_everyone_needs_the_word_and_an_account_that_allows_it():
    """Department 0 is only ever written by Everyone()."""
    assert problems(text(), Everyone()) == ["toDept"]
    assert problems(text(), Everyone(), account=account(**LOUD)) == []

    (spec,) = CHANNEL.split(draft(text(), Everyone(), account=account(**LOUD)))
    out = sent(CHANNEL.request(part(spec=spec), account(), ACCESS, flagged=False))
    assert (out["toUser"], out["toDept"]) == ("", "0")


@pytest.mark.parametrize("online", [None, True, False])
def test_a_system_message_to_everyone_says_the_flag_in_both_spellings(online: bool | None):
    """The documentation has both, and nobody knows which one a server reads."""
    message = SysMsg(title="t", msg=[{"text": {"content": "c"}}], only_online=online).document()
    agent = account_for("sysMsg", **LOUD)
    assert CHANNEL.check(draft(message, Everyone(), account=agent)) == []

    (spec,) = CHANNEL.split(draft(message, Everyone(), account=agent))
    out = sent(CHANNEL.request(part(message, spec), agent, ACCESS, flagged=False))

    assert {"onlyOnline": bool(online), "onliyOnline": bool(online)} == out["toAll"]
    assert (out["toUser"], out["toDept"]) == ("", "")
    assert "only_online" not in out["sysMsg"]


def test_1500_users_and_150_departments_are_two_calls():
    """1,000 users and 100 departments a call; part i takes the i-th slice of both."""
    users, parties = [f"u{n}" for n in range(1_500)], [str(n + 1) for n in range(150)]

    first, second = CHANNEL.split(draft(text(), To(users, parties)))

    assert (users[:1000], parties[:100]) == (first["users"], first["parties"])
    assert (users[1000:], parties[100:]) == (second["users"], second["parties"])


def test_addresses_are_split_too_and_never_stand_beside_users():
    """1,000 a call."""
    addresses = [f"a{n}@b.test" for n in range(1_001)]
    specs = CHANNEL.split(draft(Mail(action="new").document(), Emails(addresses)))

    assert [len(spec["emails"]) for spec in specs] == [1_000, 1]
    second = part(Mail(action="new").document(), specs[1])
    out = sent(CHANNEL.request(second, account_for("mail"), ACCESS, flagged=False))
    assert (out["toUser"], out["toEmail"]) == ("", "a1000@b.test")
    assert "toDept" not in out


def test_a_badge_is_one_call_for_each():
    """One account a call (c01_00005)."""
    specs = CHANNEL.split(draft(Badge(count=2).document(), To("a|b|c")))

    assert specs == [{"users": ["a"]}, {"users": ["b"]}, {"users": ["c"]}]


# -- links that hand over a login -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.test/",
        "https://oa.example.test.evil.test/",
        "https://oa.example.test@evil.test/",
        "https://evil.test\\@oa.example.test/",
        "https://evil.test/\\..\\oa.example.test",
        "https://oa.example.test:443@evil.test/",
        "//oa.example.test/",
        "oa.example.test/1",
        "javascript:alert(1)//oa.example.test",
        "https://oa.example.test /1",
        "https://oa.еxample.test/",  # the е is Cyrillic
        "ftp://oa.example.test/",
        "https:///oa.example.test/",
        "https://sub.oa.example.test/",
    ],
)
def test_a_login_is_handed_to_listed_hosts_only(url: str):
    """action 1 adds the member's token to the URL: what any client could take for another host is refused."""
    assert problems(Link(title="t", url=url, action=1)) == ["link.url"]
    assert problems(SysMsg(title="t", msg=[{"link": {**LINK, "url": url, "action": 1}}])) == ["sysMsg.msg[0].link.url"]
    assert "link.url" not in problems(Link(title="t", url=url, action=0))


@pytest.mark.parametrize(
    "url",
    [
        "https://oa.example.test",
        "http://OA.example.test:8080/a/b?c=d",
        "HTTPS://oa.example.test?x=1",
        "https://oa.example.test#a",
    ],
)
def test_a_listed_host_may_be_handed_the_login(url: str):
    """Whatever the port and the case; a host listed with its port is that port alone."""
    message = Link(title="t", url=url, action=1)
    assert problems(message) == []
    assert problems(message, account=account({"sso_hosts": []})) == ["link.url"]
    assert problems(message, account=account({"sso_hosts": ["oa.example.test:9"]})) == ["link.url"]
    with_port = account({"sso_hosts": ["oa.example.test:8080"]})
    assert ([] if ":8080" in url else ["link.url"]) == problems(message, account=with_port)


def test_raw_is_no_way_around_the_list():
    """The same body given as it stands is judged alike."""
    body = {"link": {"title": "t", "url": "https://evil.test/", "action": 1}}

    assert problems(Raw(msgtype="link", body=body)) == ["link.url"]
    assert HOSTS == ["oa.example.test"]


# -- warnings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "to", "word"),
    [
        (ExLink(items=[{"title": "t", "url": "u", "media_id": ""}]), None, "media_id"),
        (PopWindow(url="u", tip="t"), None, "tip"),
        (Badge(count=0, tip="t"), None, "tip"),
        (Text(content="c"), To("a", ["7"]), "twice"),
        (Text(content="c"), To(parties=["7", "8"]), "twice"),
        (Text(content="c"), To(parties=[str(n + 1) for n in range(101)]), "2 calls"),
        (Raw(msgtype="text", body={"text": {"content": "c", "colour": "red"}}), None, "colour"),
    ],
)
def test_what_is_allowed_but_worth_saying(message: Any, to: Recipients | None, word: str):
    """A warning of the job, never a refusal."""
    assert problems(message, to) == []
    (warning,) = warnings(message, to)
    assert word in warning


# -- overflow ---------------------------------------------------------------------------------------------------------


def test_a_long_text_is_split_or_truncated_when_asked():
    """Pieces of at most 600 characters, an emoji counted as two, in order and with nothing lost."""
    content = "😀字 word " * 200
    document, notes = CHANNEL.fit("send", Text(content=content).document(), account(), "split")
    asked = draft(document, To("alice"))

    assert CHANNEL.check(asked) == []
    specs = CHANNEL.split(asked)
    sizes = [len(piece.encode("utf-16-le")) // 2 for piece in document["pieces"]]
    assert "".join(document["pieces"]) == content
    assert max(sizes) <= 600
    assert [{"users": ["alice"], "piece": n} for n in range(len(sizes))] == specs
    out = [sent(CHANNEL.request(part(document, spec), account(), ACCESS, flagged=False)) for spec in specs]
    assert document["pieces"] == [one["text"]["content"] for one in out]
    assert [f"text.content: 1800 characters, split into {len(sizes)} messages"] == notes

    shorter, notes = CHANNEL.fit("send", Text(content=content).document(), account(), "truncate")
    assert CHANNEL.check(draft(shorter)) == []
    assert shorter["body"]["text"]["content"].endswith("…")
    assert [note.rpartition(" ")[0].rpartition(" ")[0] for note in notes] == ["text.content: truncated from 1800 to"]


def test_titles_and_digests_are_truncated_and_never_split():
    """Where they stand in an array."""
    short = {"title": "t", "media_id": "m", "content": "c"}
    message = MpNews(items=[short, {**short, "title": "x" * 70, "content": "y" * 700}]).document()

    kept, none = CHANNEL.fit("send", message, account(), "split")
    shorter, notes = CHANNEL.fit("send", message, account(), "truncate")

    assert kept == message
    assert none == []
    assert CHANNEL.check(draft(shorter)) == []
    assert [note.partition(":")[0] for note in notes] == ["mpnews[1].title", "mpnews[1].content"]


# -- files ------------------------------------------------------------------------------------------------------------


def file(**fields: Any) -> dict[str, Any]:
    return {"upload_type": "image", "name": "a.png", "size": 5, "sha256": "0" * 64, **fields}


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        (file(size=0), "image.media_id"),
        (file(size=100 * 1024 * 1024 + 1), "image.media_id"),
        (file(upload_type="file"), "image.media_id"),
        (file(upload_type="picture"), "image.media_id"),
        (file(name=" "), "image.media_id.filename"),
        (file(name="a\x00b"), "image.media_id.filename"),
        ({"upload_type": "image", "name": "a", "url": "nowhere"}, "image.media_id.url"),
    ],
)
def test_files_that_cannot_be_uploaded(entry: dict[str, Any], field: str):
    """Empty, larger than the account allows, of another type, without a name."""
    document = {**Image().document(), "files": {"image.media_id": entry}}

    assert [field] == problems(document)


def test_the_size_an_account_allows_is_its_own():
    """The vendor documents none."""
    document = {**Image().document(), "files": {"image.media_id": file(size=11)}}

    assert problems(document) == []
    assert problems(document, account=account({"upload_max_bytes": 10})) == ["image.media_id"]
    assert CHANNEL.upload_limit(account(), "image") == 100 * 1024 * 1024
    assert CHANNEL.upload_limit(account({"upload_max_bytes": 10}), "image") == 10


def test_a_file_fills_an_empty_place():
    """Not one that holds a media_id, and not a place that is none."""
    document = {**Image(media_id="m").document(), "files": {"image.media_id": file(), "image.cover.id": file()}}

    assert problems(document) == ["image.media_id", "image.cover.id"]


def test_an_exlink_has_a_cover_or_says_that_it_has_none():
    """A media_id or a file; an empty media_id goes out as the vendor's SDK sends it, with a warning."""
    bare = ExLink(items=[{"title": "t", "url": "u"}]).document()
    covered = {**bare, "files": {"exlink.0.media_id": file()}}
    empty = ExLink(items=[{"title": "t", "url": "u", "media_id": ""}]).document()

    assert problems(bare) == ["exlink[0].media_id"]
    assert problems(covered) == []
    assert CHANNEL.warnings(draft(covered)) == []
    assert problems(empty) == []
    assert len(CHANNEL.warnings(draft(empty))) == 1


def test_an_upload_of_its_own():
    """For nobody, of one of four types."""
    document = {"type": "upload", "files": {"media": file(upload_type="voice")}}

    assert problems(document) == []
    assert problems(document, To("a")) == ["recipients"]
    assert problems({"type": "upload"}) == ["media"]
    assert Upload(file=File(b"x", "a")).document() == {"type": "upload"}


# -- what the pipeline asks -------------------------------------------------------------------------------------------


def test_kinds_lanes_and_what_makes_a_repeat_safe():
    """A badge is absolute and a pop-up replaces its like; nothing makes a message safe."""
    upload = {"type": "upload", "files": {"media": file()}}
    window, bare = PopWindow(tip="t").document(), PopWindow(tip="t", notice_id="").document()
    own, badge = PopWindow(tip="t", notice_id="n1").document(), Badge(count=1).document()
    safe = {"upload": upload, "pop_window": window, "badge": badge}

    for kind, message in safe.items():
        assert kind == CHANNEL.kind_of(message, Recipients())
        assert CHANNEL.repeat_rule(kind, message) == (RepeatRule.HARMLESS, 0)
    assert CHANNEL.repeat_rule("pop_window", own) == (RepeatRule.HARMLESS, 0)
    assert CHANNEL.repeat_rule("pop_window", bare) == (RepeatRule.HOLD, 0)
    assert CHANNEL.repeat_rule("send", text()) == (RepeatRule.HOLD, 0)
    lanes = [CHANNEL.lane(CHANNEL.kind_of(one, Recipients()), one, {}) for one in (*safe.values(), text())]
    assert lanes == ["upload/image", "pop_window", "badge", "send/text"]
    assert CHANNEL.lane("upload", {"files": {"media": {"upload_type": "image", "url": "u"}}}, {}) == "upload/image/url"


def test_the_notice_id_is_ours_unless_the_caller_gives_one_or_wants_none():
    """The part's, so that a repeat has it again and another part another one."""

    def window(message: PopWindow, n: int = 0) -> dict[str, Any]:
        built = CHANNEL.request(part(message.document(), n=n), account(), ACCESS, flagged=False)
        return sent(built)["popWindow"]

    first, second = window(PopWindow(tip="t")), window(PopWindow(tip="t"), n=1)
    assert first["notice_id"] != second["notice_id"]
    assert first == window(PopWindow(tip="t"))
    assert window(PopWindow(tip="t", notice_id="n1"))["notice_id"] == "n1"
    assert "notice_id" not in window(PopWindow(tip="t", notice_id=""))


@pytest.mark.parametrize("kind", ["recall", "update_card", "remind", "track"])
def test_no_follow_up_can_be(kind: str):
    """There is no message id, and no call that takes one."""
    for target in ("send", "pop_window", "badge", "upload"):
        problem = CHANNEL.follow_up_problem(kind, target)
        assert problem is not None
        assert "no message id" in problem.text
        assert kind in problem.text
    assert "notice_id" in CHANNEL.follow_up_problem(kind, "pop_window").remedy
    assert problems(text(), kind=kind) == ["kind"]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"buin": None}, "buin"),
        ({"buin": "12a"}, "buin"),
        ({"buin": True}, "buin"),
        ({"buin": 0}, "buin"),
        ({"buin": "1" * 25}, "buin"),
        ({"buin": str(2**63)}, "buin"),
        ({"appid": ""}, "appid"),
        ({"appid": "yd 1"}, "appid"),
        ({"appid": 5}, "appid"),
        ({"invalid_users": "lenient"}, "invalid_users"),
        ({"upload_max_bytes": 0}, "upload_max_bytes"),
        ({"legacy_token": "yes"}, "legacy_token"),
        ({"api_path": "cgi"}, "api_path"),
        ({"api_path": "/cgi/"}, "api_path"),
        ({"sso_hosts": "oa.example.test"}, "sso_hosts"),
        ({"sso_hosts": ["https://oa.example.test"]}, "sso_hosts"),
        ({"sso_hosts": ["*.example.test"]}, "sso_hosts"),
    ],
)
def test_what_is_wrong_with_an_account(settings: dict[str, Any], field: str):
    """Found at the start, with what to write."""
    (problem,) = CHANNEL.account_problems(account(settings))

    assert field == problem.field
    assert problem.remedy


def test_a_right_account_reads_no_secret():
    """Producers have none; digits may be a text."""

    def never() -> str:
        raise AssertionError("the secret was read")

    base = account({"buin": "12345678", "invalid_users": "partial-error", "api_path": "/v3/api/jgapp"})
    asked = Account(base.name, base.channel, base.base_url, base.settings, Secret(never))

    assert CHANNEL.account_problems(asked) == []
    assert CHANNEL.check(draft(Sms(sender="1", content="c").document(), account=asked)) == []


def test_limits_are_off_until_an_account_sets_them():
    """None is published: ours by name, counted for each app."""
    assert CHANNEL.limits(part(), account()) == []

    (minute,) = CHANNEL.limits(part(), account(limits={"calls_minute": 120}))
    names = [
        charge.limit.name
        for charge in CHANNEL.limits(
            part({"type": "upload", "files": {"media": file()}}, {}),
            account(limits={"calls_second": 5, "uploads_minute": 6, "calls_hour": 0}),
        )
    ]
    assert (minute.limit.window_s, minute.limit.amount, minute.units) == (60, 120, 1)
    assert names == ["calls_second", "uploads_minute"]


@pytest.mark.parametrize(
    "body", ["nonsense", [], {}, {"msgType": 5}, {"msgType": "text", "text": {"content": 5}}, {"popWindow": {"x": 1}}]
)
def test_json_that_is_no_message_says_so(body: Any):
    """CheckFailed, and the value is not quoted."""
    with pytest.raises(CheckFailed):
        message_from_json(body)


def test_a_type_we_do_not_model_becomes_raw():
    """Where the caller says that it is meant. Beside the object of another there is no unknown field."""
    voice = {"msgType": "voice", "toUser": "a", "voice": {"media_id": "m"}}

    assert Raw(msgtype="voice", body={"voice": {"media_id": "m"}}) == message_from_json(voice, raw=True)
    with pytest.raises(CheckFailed, match=r"msgType: is not a type that this release knows"):
        message_from_json(voice)
    with pytest.raises(CheckFailed, match=r"extra: text has no such field here"):
        message_from_json({"msgType": "text", "text": {"content": "a"}, "extra": 1}, raw=True)


def test_what_a_message_says_is_not_in_its_repr():
    """Errors and logs show reprs."""
    for message in GOOD:
        assert "13800000000" not in repr(message)
        assert "xxxxx" not in repr(message)


@pytest.mark.parametrize(
    ("mail", "field"),
    [
        (Mail(action="new", fromUser="a", fromEmail="a@b"), "mail.fromEmail"),
        (Mail(action="new", unreadCount=1), "mail.unreadCount"),
        (Mail(action="unread", subject="s"), "mail.subject"),
    ],
)
def test_what_is_ignored_in_a_mail(mail: Mail, field: str):
    """A warning: the sample of the vendor's page has both senders and the fields of both actions."""
    asked = draft(mail.document())

    assert CHANNEL.check(asked) == []
    assert [field] == [one.split(":")[0] for one in CHANNEL.warnings(asked)]
