"""The fake Youdu server: the order of its checks, tokens, nine types, media, windows, badges, and every open point."""

import json
from typing import Any

import pytest
from conftest import Vendor

from tests.support.youdu_client import APP, BUIN, KEYS, Client
from worker.crypto.youdu import YouduEnvelope


@pytest.fixture
def youdu(vendor: Vendor) -> Any:
    """A client of a server that was just reset."""
    client = Client(vendor.url)
    yield client
    client.session.close()


def settings(client: Client, **changes: Any) -> None:
    client.control("POST", "settings", {"youdu": changes})


def app(client: Client, name: str) -> Client:
    """Another app of the same server."""
    other = Client(client.url, name)
    other.session = client.session
    return other


GOOD = {"toUser": "alice", "msgType": "text", "text": {"content": "hi"}}


def test_the_order_of_checks_of_the_standard_envelope(youdu: Client) -> None:
    """Each fault alone, and with every later fault beside it: the first in order is answered."""
    faults: list[tuple[int, dict[str, Any]]] = [
        (100008, {"buin": ...}),
        (100012, {"buin": "12345678"}),
        (100009, {"buin": 1}),
        (100010, {"appId": ...}),
        (100013, {"appId": 5}),
        (100005, {"appId": "yd_nobody"}),
        (100000, {"token": None}),
        (100001, {"token": "no-such"}),
        (100011, {"encrypt": ...}),
        (100014, {"encrypt": 5}),
        (100006, {"encrypt": "AAAA"}),
    ]
    for n, (code, fault) in enumerate(faults):
        later = {name: value for _, one in reversed(faults[n:]) for name, value in one.items()}
        assert code == youdu.call("msg/send", GOOD, **fault)["errcode"]
        assert code == youdu.call("msg/send", GOOD, **(later | fault))["errcode"]
    assert youdu.raw("msg/send", b"{", token="no-such").json()["errcode"] == 100004
    assert youdu.raw("msg/send", b"[]").json()["errcode"] == 100004
    assert youdu.call("msg/send", b"no json")["errcode"] == 100004
    assert youdu.call("msg/send", b'["no object"]')["errcode"] == 100004
    assert youdu.call("msg/send", b'{"toUser": "\\ud800"}')["errcode"] == 100004
    assert youdu.call("msg/send", GOOD)["errcode"] == 0


def test_an_envelope_for_another_app_or_of_another_key_does_not_open(youdu: Client) -> None:
    """100006, as for a cut one."""
    wrong_key = YouduEnvelope(KEYS["sysMsgAssistant"], APP).seal(b"{}", bytes(16))
    wrong_app = YouduEnvelope(KEYS[APP], "yd_other").seal(b"{}", bytes(16))
    cut = youdu.sealed(b"{}")[:-8]

    assert [youdu.call("msg/send", GOOD, encrypt=one)["errcode"] for one in (wrong_key, wrong_app, cut)] == [100006] * 3


def test_gettoken_gives_a_new_token_each_time_and_older_ones_live_on(youdu: Client) -> None:
    """By default; whether they do is not documented."""
    first, second = youdu.gettoken(), youdu.gettoken()

    assert first != second
    assert [youdu.call("msg/send", GOOD, token=one)["errcode"] for one in (first, second)] == [0, 0]

    settings(youdu, old_tokens_live=False)
    third = youdu.gettoken()
    assert [youdu.call("msg/send", GOOD, token=one)["errcode"] for one in (second, third)] == [100001, 0]


def test_tokens_expire_are_forgotten_and_belong_to_one_app(youdu: Client, vendor: Vendor) -> None:
    """100002 after 7200 s, 100001 after a restart and for another app's."""
    token, foreign = youdu.token(), app(youdu, "sysMsgAssistant").gettoken()
    assert youdu.call("msg/send", GOOD, token=foreign)["errcode"] == 100001
    vendor.advance(7199)
    assert youdu.call("msg/send", GOOD)["errcode"] == 0
    vendor.advance(2)
    assert youdu.call("msg/send", GOOD)["errcode"] == 100002

    fresh = youdu.gettoken()
    assert youdu.control("POST", "youdu", {"expire_token": fresh}) == {"forgotten": 0, "expired": 1, "media": 0}
    assert youdu.call("msg/send", GOOD, token=fresh)["errcode"] == 100002
    assert youdu.control("POST", "youdu", {"forget_tokens": True})["forgotten"] == 3
    assert youdu.call("msg/send", GOOD, token=token)["errcode"] == 100001


def test_the_timestamp_is_looked_at_only_when_a_setting_says_so(youdu: Client, vendor: Vendor) -> None:
    """The vendor's own sample sends an empty text by mistake."""
    assert youdu.call("gettoken", b"", token=None)["errcode"] == 0
    vendor.control("POST", "clock", {"set": 1_700_000_000, "frozen": True})
    settings(youdu, timestamp_window_s=60)

    assert youdu.call("gettoken", b"", token=None)["errcode"] == 100003
    assert youdu.call("gettoken", b"1700000061", token=None)["errcode"] == 100003
    assert youdu.call("gettoken", b"1699999940", token=None)["errcode"] == 0


TYPES = {
    "text": {"content": "hi"},
    "image": {"media_id": "IMAGE"},
    "file": {"media_id": "FILE"},
    "mpnews": [{"title": "t", "media_id": "IMAGE", "content": "c", "digest": "d", "showFront": 1}],
    "link": {"title": "t", "url": "https://a/", "action": 1},
    "exlink": [{"title": "t", "url": "https://a/", "media_id": "", "link_type": 0, "subtitle": ""}],
    "sysMsg": {
        "title": "t",
        "popDuration": 6,
        "msg": [{"text": {"content": "c"}}, {"link": {"title": "t", "url": "u"}}],
    },
    "sms": {"from": "138", "content": "c"},
    "mail": {"action": "new", "subject": "", "fromEmail": "a@b.test", "time": 1_700_000_000},
}
APPS = {"sysMsg": "sysMsgAssistant", "mail": "sysExmailAssistant"}


@pytest.mark.parametrize("msgtype", TYPES)
def test_every_type_is_shown_as_it_was_sent(youdu: Client, msgtype: str) -> None:
    """In the log of the server and in the person's inbox."""
    media = {kind.upper(): youdu.opened(youdu.upload(b"x", kind)["encrypt"])["mediaId"] for kind in ("image", "file")}
    text = json.dumps(TYPES[msgtype])
    for name, media_id in media.items():
        text = text.replace(f'"{name}"', f'"{media_id}"')
    content = json.loads(text)
    settings(youdu, media_shared=True)

    answer = app(youdu, APPS.get(msgtype, APP)).send(msgtype, content)

    assert answer == {"errcode": 0, "errmsg": "ok"}
    (delivered,) = youdu.state()["delivered"]
    assert (msgtype, content, ["alice"], []) == tuple(
        delivered[name] for name in ("msgtype", "content", "people", "altered")
    )
    (seen,) = youdu.control("GET", "inbox?user=ALICE")["messages"]
    assert content == seen["content"]


@pytest.mark.parametrize("msgtype", TYPES)
def test_the_wrong_kind_of_app_is_an_invalid_app(youdu: Client, msgtype: str) -> None:
    """100005; whether an ordinary app may send sms is a setting."""
    settings(youdu, sms_by_message_app=False)
    wrong = APP if msgtype in ("sysMsg", "sms", "mail") else "sysMsgAssistant"

    assert app(youdu, wrong).send(msgtype, TYPES[msgtype])["errcode"] == 100005
    settings(youdu, sms_by_message_app=True)
    assert (0 if msgtype == "sms" else 100005) == app(youdu, wrong).send(msgtype, TYPES[msgtype])["errcode"]


@pytest.mark.parametrize(
    ("msgtype", "content"),
    [
        ("text", {}),
        ("text", {"content": ""}),
        ("text", "hi"),
        ("mpnews", []),
        ("mpnews", TYPES["exlink"] * 6),
        ("mpnews", [{"title": "t", "content": "c"}]),
        ("exlink", [{"title": "t", "url": "https://a/"}]),
        ("mpnews", {"title": "t"}),
        ("link", {"title": "t"}),
        ("link", {"title": "t", "url": "u", "action": 2}),
        ("link", {"title": 5, "url": "u"}),
        ("voice", {"media_id": "m"}),
        ("popWindow", {"url": "u"}),
    ],
)
def test_bodies_that_are_wrong(youdu: Client, msgtype: str, content: Any) -> None:
    """No code is documented: 100003, and nobody sees anything."""
    assert youdu.send(msgtype, content)["errcode"] == 100003
    assert youdu.state()["delivered"] == []


@pytest.mark.parametrize("msg", [None, [], [{}], [{"text": {"content": "c"}, "link": {"title": "t", "url": "u"}}]])
def test_system_messages_without_entries(youdu: Client, msg: Any) -> None:
    """Each entry is one of text and link."""
    assert app(youdu, "sysMsgAssistant").send("sysMsg", {"title": "t", "msg": msg})["errcode"] == 100003


def test_what_is_too_long_is_cut_in_silence_and_noted(youdu: Client) -> None:
    """By code points, or by units of UTF-16; titles that are merely not allowed are shown or refused by a setting."""
    assert youdu.send("text", {"content": "😀" * 601})["errcode"] == 0
    settings(youdu, character="utf16")
    youdu.send("text", {"content": "😀" * 301})
    youdu.send("link", {"title": "x" * 65, "url": "u"})
    first, second, third = youdu.state()["delivered"]

    assert (first["content"]["content"], *(first["altered"][0][name] for name in ("why", "limit", "size"))) == (
        "😀" * 600,
        "cut",
        600,
        601,
    )
    assert (second["content"]["content"], second["altered"][0]["size"]) == ("😀" * 300, 602)
    assert (third["content"]["title"], third["altered"][0]["why"]) == ("x" * 65, "too long, shown")

    settings(youdu, long_title_code=100003)
    assert youdu.send("link", {"title": "x" * 65, "url": "u"})["errcode"] == 100003


def test_an_exlink_without_a_cover(youdu: Client) -> None:
    """An empty media_id, which the vendor's SDK sends, is taken until a setting refuses it."""
    assert youdu.send("exlink", TYPES["exlink"])["errcode"] == 0
    settings(youdu, exlink_cover_code=100003)
    assert youdu.send("exlink", TYPES["exlink"])["errcode"] == 100003


# -- recipients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "code", "errmsg", "people"),
    [
        ("strict", 200007, "invalid toUser: ghost1|Ghost2", []),
        ("partial", 0, "invalid toUser: ghost1|Ghost2", ["alice"]),
        ("partial-error", 200007, "invalid toUser: ghost1|Ghost2", ["alice"]),
        ("silent", 0, "ok", ["alice"]),
    ],
)
def test_the_four_ways_with_unknown_accounts(
    youdu: Client, mode: str, code: int, errmsg: str, people: list[str]
) -> None:
    """None of them is documented; the default lets the others have it and names the unknown with errcode 0."""
    settings(youdu, invalid_users=mode)

    assert {"errcode": code, "errmsg": errmsg} == youdu.send(to="ghost1|Alice|Ghost2")
    assert people == [one for message in youdu.state()["delivered"] for one in message["people"]]


def test_the_text_that_names_them_is_a_setting(youdu: Client) -> None:
    """Its form is not documented."""
    settings(youdu, invalid_text="用户[{users}]不存在", invalid_separator=",")

    assert youdu.send(to="ghost1|ghost2|alice")["errmsg"] == "用户[ghost1,ghost2]不存在"


def test_departments_everyone_and_the_most_of_each(youdu: Client) -> None:
    """0 is the whole organisation; a member named twice gets it once."""
    settings(youdu, depts={"7": ["Alice", "bob"]})
    youdu.send(to="alice", toDept=f"7|12|900001|１|{'9' * 5000}")
    youdu.send(to="", toDept="0")

    first, second = youdu.state()["delivered"]
    assert first["people"] == ["alice", "bob", "d12u1", "d12u2", "d12u3"]
    assert second["people"] == ["all1", "all2", "all3"]
    assert youdu.send(to="|".join(f"u{n}" for n in range(1001)))["errcode"] == 200001
    assert youdu.send(to="", toDept="|".join(str(n + 1) for n in range(101)))["errcode"] == 100003
    assert youdu.send(to="", toDept="")["errcode"] == 100003
    assert youdu.send(to="alice", toDept=7)["errcode"] == 100003
    settings(youdu, unknown_dept_code=300114)
    assert youdu.send(toDept="900001")["errcode"] == 300114


@pytest.mark.parametrize(
    ("reads", "to_all", "people"),
    [
        ("either", {"onlyOnline": True}, 2),
        ("either", {"onliyOnline": True}, 2),
        ("either", {"onlyOnline": False}, 3),
        ("onlyOnline", {"onlyOnline": True, "onliyOnline": True}, 2),
        ("onliyOnline", {"onlyOnline": True, "onliyOnline": True}, 2),
    ],
)
def test_to_all_and_its_two_spellings(youdu: Client, reads: str, to_all: Any, people: int) -> None:
    """Those offline never get what only those online shall."""
    settings(youdu, only_online=reads)

    answer = app(youdu, "sysMsgAssistant").send("sysMsg", TYPES["sysMsg"], to="", toAll=to_all)

    assert answer["errcode"] == 0
    assert people == len(youdu.state()["delivered"][0]["people"])


def test_to_all_without_its_flag_or_for_another_type(youdu: Client) -> None:
    """It is required where toAll is used, and toAll is for system messages."""
    system = app(youdu, "sysMsgAssistant")

    assert system.send("sysMsg", TYPES["sysMsg"], to="", toAll={})["errcode"] == 100003
    settings(youdu, only_online="onlyOnline")
    assert system.send("sysMsg", TYPES["sysMsg"], to="", toAll={"onliyOnline": True})["errcode"] == 100003
    assert youdu.send(to="", toAll={"onlyOnline": True})["errcode"] == 100003


def test_addresses_are_read_only_without_users(youdu: Client) -> None:
    """toUser voids toEmail; a mail has no toDept."""
    mail = app(youdu, "sysExmailAssistant")
    mail.send("mail", TYPES["mail"], to="", toEmail="A@b.test|ghost@b.test")
    mail.send("mail", TYPES["mail"], to="alice", toEmail="c@d.test")

    assert [one["people"] for one in youdu.state()["delivered"]] == [["a@b.test"], ["alice"]]
    assert mail.send("mail", TYPES["mail"], to="", toDept="7")["errcode"] == 100003


# -- media ------------------------------------------------------------------------------------------------------------


def test_an_upload_and_its_ways_back(youdu: Client) -> None:
    """The id ends in the size of the plain file; search tells name and size, get gives the bytes back."""
    content = bytes(range(256)) * 40
    media_id = youdu.opened(youdu.upload(content, name="报告.bin")["encrypt"])["mediaId"]
    found = youdu.opened(youdu.call("media/search", {"mediaId": media_id})["encrypt"])
    body = {"buin": BUIN, "appId": APP, "encrypt": youdu.sealed(json.dumps({"mediaId": media_id}).encode())}
    got = youdu.raw("media/get", body)

    digits, _, size = media_id.partition("-")
    assert len(digits) == 32
    assert size == "10240"
    assert {"name": "报告.bin", "size": 10240} == found == youdu.opened(got.headers["encrypt"])
    assert content == youdu.envelope.open(got.text)
    assert [media_id] == [one["media_id"] for one in youdu.state()["media"]]


def test_files_that_are_not_there(youdu: Client, vendor: Vendor) -> None:
    """200010: never uploaded, another app's, forgotten, or too old by a setting; media/get then answers JSON."""
    media_id = youdu.opened(youdu.upload(b"x", "image")["encrypt"])["mediaId"]
    image = {"media_id": media_id}
    other = app(youdu, "sysOrgAssistant")

    assert youdu.send("image", {"media_id": "0" * 32 + "-1"})["errcode"] == 200010
    assert other.call("media/search", {"mediaId": media_id})["errcode"] == 200010
    assert youdu.call("media/get", {"mediaId": "x"})["errcode"] == 200010
    assert youdu.send("image", image)["errcode"] == 0
    settings(youdu, media_shared=True)
    assert other.call("media/search", {"mediaId": media_id})["errcode"] == 0
    settings(youdu, media_lifetime_s=10)
    vendor.advance(11)
    assert youdu.send("image", image)["errcode"] == 200010
    settings(youdu, media_lifetime_s=0)
    assert youdu.control("POST", "youdu", {"forget_media": "all"})["media"] == 1
    assert youdu.send("image", image)["errcode"] == 200010


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"buin": "x"}, 100012),
        ({"buin": "1"}, 100009),
        ({"appId": ""}, 100010),
        ({"appId": "nobody"}, 100005),
        ({"encrypt": ""}, 100011),
        ({"encrypt": "AAAA"}, 100006),
    ],
)
def test_forms_with_wrong_fields(youdu: Client, fields: dict[str, str], code: int) -> None:
    """The same checks, in the form."""
    assert code == youdu.upload(b"x", **fields)["errcode"]


def test_uploads_that_are_refused(youdu: Client) -> None:
    """An unknown type, no name, no file, a file that is no cipher text, one too large by a setting."""
    assert youdu.upload(b"x", "picture")["errcode"] == 200009
    assert youdu.upload(b"x", name="")["errcode"] == 200008
    url, query = f"{youdu.url}/cgi/media/upload", {"accessToken": youdu.token()}
    about = {"buin": str(BUIN), "appId": APP, "encrypt": youdu.sealed(b'{"type":"file","name":"a"}')}
    for files in ({"other": ("file", "x")}, {"file": ("file", "x")}, {"file": ("file", b"\xff\xfe")}):
        assert youdu.session.post(url, params=query, data=about, files=files, timeout=60).json()["errcode"] == 200008
    settings(youdu, media_max_bytes=2)
    assert [youdu.upload(b"x" * size)["errcode"] for size in (2, 3)] == [0, 200008]
    assert youdu.session.post(url, params=query, data=b"x", timeout=60).json()["errcode"] == 100008


# -- windows and badges -----------------------------------------------------------------------------------------------


def test_a_window_takes_the_place_of_its_like(youdu: Client) -> None:
    """By notice_id, at each person; without one there are two. Beside a url the tip is not shown."""
    for n, notice in enumerate(("n1", "n1", None, None, "n2")):
        window = {"url": f"https://a/{n}", "tip": "t", **({"notice_id": notice} if notice else {})}
        assert youdu.legacy("popwindow", {"toUser": "Alice", "popWindow": window}) == {"errcode": 0, "errmsg": "ok"}

    windows = youdu.state()["windows"]["alice"]
    assert [one["url"] for one in windows] == ["https://a/1", "https://a/2", "https://a/3", "https://a/4"]
    assert not any("tip" in one for one in windows)


def test_windows_that_are_wrong(youdu: Client) -> None:
    """Neither url nor tip, an unknown place, nobody, a foreign app; with the codes of msg/send."""
    wrong = [
        {"toUser": "alice", "popWindow": {"title": "t"}},
        {"toUser": "alice", "popWindow": {"tip": "t", "position": 5}},
        {"toUser": "", "popWindow": {"tip": "t"}},
        {"toUser": "alice"},
    ]
    assert [youdu.legacy("popwindow", one)["errcode"] for one in wrong] == [100003] * 4
    right = {"toUser": "alice|ghost", "popWindow": {"tip": "t"}}
    assert app(youdu, "sysMsgAssistant").legacy("popwindow", right)["errcode"] == 100005
    assert youdu.legacy("popwindow", right)["errmsg"] == "invalid toUser: ghost"


def test_a_badge_is_absolute_and_0_clears_it(youdu: Client) -> None:
    """One account a call."""
    for count in (3, 5):
        youdu.legacy("set.ent.notice", {"account": "Alice", "count": count, "tip": "to do"})
    assert youdu.state()["badges"] == {"alice": {"app": APP, "count": 5, "tip": "to do"}}
    youdu.legacy("set.ent.notice", {"account": "alice", "count": 0})

    assert youdu.state()["badges"] == {}
    assert youdu.legacy("set.ent.notice", {"account": "ghost", "count": 1})["errcode"] == 200007
    assert youdu.legacy("set.ent.notice", {"account": "alice", "count": "1"})["errcode"] == 100003
    assert app(youdu, "sysMsgAssistant").legacy("set.ent.notice", {"account": "a", "count": 1})["errcode"] == 100005


def test_the_old_envelope_needs_no_token_and_has_checks_of_its_own(youdu: Client) -> None:
    """A token is taken too; a setting asks for it."""
    badge = {"account": "alice", "count": 1}

    assert youdu.legacy("set.ent.notice", badge, token="nonsense")["errcode"] == 0
    assert youdu.legacy("set.ent.notice", badge, app_id="")["errcode"] == 100010
    assert youdu.legacy("set.ent.notice", badge, msg_encrypt="")["errcode"] == 100011
    settings(youdu, legacy_token="required")
    assert youdu.legacy("set.ent.notice", badge)["errcode"] == 100000
    assert youdu.legacy("set.ent.notice", badge, token="")["errcode"] == 0


# -- the rest ---------------------------------------------------------------------------------------------------------


def test_answers_may_come_in_another_apps_name(youdu: Client) -> None:
    """Two SDKs expect it."""
    settings(youdu, answers_as="sysOrgAssistant")
    answer = youdu.call("gettoken", b"1", token=None)

    with pytest.raises(Exception, match="another app"):
        youdu.envelope.open(answer["encrypt"])
    assert youdu.opened(answer["encrypt"])["accessToken"]


def test_faults_work_on_these_paths_and_speak_as_this_server(youdu: Client, vendor: Vendor) -> None:
    """A code in its place has the server's plain text; a cut answer takes effect."""
    youdu.token()
    vendor.faults(
        {"match": {"path": "/cgi/msg/send"}, "times": 1, "action": {"answer": {"errcode": -1}}},
        {"match": {"path": "/cgi/msg/send"}, "times": 1, "action": {"answer": {"errcode": 0, "errmsg": "odd"}}},
        {"match": {"path": "/cgi/msg/send"}, "times": 1, "action": {"status": 503}},
        {"match": {"path": "/cgi/msg/send"}, "times": 1, "action": {"reset_response_after": 0}},
    )

    assert youdu.send() == {"errcode": -1, "errmsg": "undefined error"}
    assert youdu.send() == {"errcode": 0, "errmsg": "odd"}
    with pytest.raises(json.JSONDecodeError):
        youdu.send()
    assert youdu.state()["delivered"] == []
    with pytest.raises(Exception, match=r"[Rr]eset"):
        youdu.send()
    assert len(youdu.state()["delivered"]) == 1


def test_who_saw_two_alike_is_a_violation(youdu: Client, vendor: Vendor) -> None:
    """The API gives no id: only this log knows."""
    for content in ("one", "two", "one"):
        youdu.send("text", {"content": content}, to="alice|bob")

    duplicates = vendor.violations()["duplicates"]
    assert {one["user"] for one in duplicates} == {"alice", "bob"}
    assert [one["msgids"] for one in duplicates] == [["youdu-1", "youdu-3"]] * 2


def test_a_reset_forgets_everything(youdu: Client, vendor: Vendor) -> None:
    """Tokens and messages."""
    youdu.send()
    vendor.control("POST", "reset", {})

    assert youdu.state()["delivered"] == []
    assert youdu.call("msg/send", GOOD)["errcode"] == 100001


def test_a_key_that_is_none_is_refused_in_the_settings(youdu: Client) -> None:
    """400, and nothing changes."""
    with pytest.raises(AssertionError, match="44 characters"):
        settings(youdu, apps=[{"appid": "yd_1", "aes_key": "short"}])
