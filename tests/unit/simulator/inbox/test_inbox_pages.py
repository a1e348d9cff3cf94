"""What the inbox shows: conversations of every channel, marks, pages, search, panels."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.unit.simulator.conftest import Vendor
from tests.unit.simulator.inbox.conftest import AT, Browser, plain
from worker_simulator.inbox.entries import preview
from worker_simulator.inbox.message_views import PageContext
from worker_simulator.inbox.query import PageQuery
from worker_simulator.inbox.words import says
from worker_simulator.settings import SimulatorSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.youdu.memory import DeliveredMessage

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def test_an_empty_inbox_says_where_to_send(browser: Browser) -> None:
    """The address that a client has to be pointed at."""
    page = plain(browser.text(lang="en"))

    assert "Nothing was sent yet" in page
    assert browser.url in page


def test_each_conversation_stands_in_the_list_the_newest_first(vendor: Vendor, browser: Browser, text: Any) -> None:
    """By person and app, with its newest text and how many there are."""
    vendor.send(text("first", to="chenmo|lisi"))
    vendor.send(text("second", to="lisi"))

    rows = plain(browser.text("/_inbox/list", lang="en"))

    assert rows.index("lisi") < rows.index("chenmo")
    assert re.search(r"lisi App 1 · ww1 second \S+ \S+ 2 chenmo App 1 · ww1 first \S+ \S+ 1", rows)


WEBHOOK_PICTURE = {"base64": "iVBORw0KGgo=", "md5": "c2a0e3a1a5e7bd4ae8a3d1a7f2f5e2c1"}


@pytest.mark.parametrize(
    ("msgtype", "content", "zh", "en"),
    [
        ("image", WEBHOOK_PICTURE, "[图片]", "[Image]"),
        ("file", {"media_id": "m"}, "[文件] plan.pdf", "[File] plan.pdf"),
        ("video", {"media_id": "m", "title": "第三讲"}, "[视频] 第三讲", "[Video] 第三讲"),
        ("mail", {"action": "unread", "unreadCount": 5}, "[邮件] 5 封未读", "[Mail] 5 unread"),
        ("mail", {"action": "new", "link": "https://m", "subject": "发票"}, "[邮件] 发票", "[Mail] 发票"),
        ("miniprogram_notice", {"appid": "wx1", "title": "预订"}, "[小程序] 预订", "[Mini program] 预订"),
        ("badge", {"count": 12, "tip": "待办"}, "[角标] 12 待办", "[Badge] 12 待办"),
        ("pop_window", {"url": "https://n", "title": "公告"}, "[弹窗] 公告", "[Pop-up] 公告"),
        ("mpnews", [{"media_id": "m", "title": "年报", "content": "<p>x</p>"}], "年报", "年报"),
        ("news", {"articles": [{"url": "https://n", "description": "d", "title": "通知"}]}, "通知", "通知"),
        (
            "text",
            {"content": '看 <a href="https://e">这里</a> <@lihua>\n# 1'},
            "看 这里 @lihua # 1",
            "看 这里 @lihua # 1",
        ),
        ("markdown", {"content": "# 标题\n**请** 看[这里](https://e)"}, "标题 请 看这里", "标题 请 看这里"),
        ("unheard_of", {"id": "x1"}, "[unheard_of]", "[unheard_of]"),
    ],
)
def test_a_message_stands_in_the_list_as_the_apps_show_it(msgtype: str, content: Any, zh: str, en: str) -> None:
    """By its type's word where it has no text, without marks, and never by an id or a hash."""
    state = VendorState(SimulatorSettings())
    state.files.add("m", "plan.pdf", b"x")
    message = DeliveredMessage(1, "a", msgtype, content, 1.0, 1)

    assert (zh, en) == tuple(preview(PageContext(state, PageQuery(), says(lang)), message) for lang in ("zh", "en"))


@pytest.mark.parametrize(
    ("kind", "shown", "hidden"), [("webhook", "wr1", "chenmo"), ("app", "chenmo", "wr1"), ("", "wr1", "nobody")]
)
def test_the_list_can_show_one_kind_alone(
    vendor: Vendor, browser: Browser, text: Any, kind: str, shown: str, hidden: str
) -> None:
    """Apps, group chats, webhooks, campaigns or Youdu."""
    vendor.send(text())
    vendor.post("webhook/send", {"chatid": "wr1", "msgtype": "text", "text": {"content": "x"}}, key="k1")

    rows = plain(browser.text("/_inbox/list", kind=kind))

    assert shown in rows
    assert hidden not in rows


def test_a_message_is_drawn_in_each_of_its_conversations(vendor: Vendor, browser: Browser, text: Any) -> None:
    """And the list of conversations has a page of fifty."""
    people = [f"p{n:03d}" for n in range(120)]
    vendor.send(text("to all of you", to="|".join(people)))

    first, last = browser.text("/_inbox/list"), browser.text("/_inbox/list", skip=100)

    assert first.count("<li ") == 50
    assert last.count("<li ") == 20
    assert all("to all of you" in browser.talk(f"app:ww1%2F1:{person}") for person in people[::40])


def test_a_long_conversation_is_read_page_by_page(vendor: Vendor, browser: Browser, text: Any) -> None:
    """The newest last; each earlier page ends where the later one began."""
    vendor.settings(limits={"member_per_minute": 0, "member_per_hour": 0})
    for n in range(100):
        vendor.send(text(f"number {n:02d}"))

    newest, before = browser.talk(), browser.talk(before=60)

    assert [f"{n:02d}" for n in range(60, 100)] == re.findall(r"number (\d\d)", newest)
    assert [f"{n:02d}" for n in range(20, 60)] == re.findall(r"number (\d\d)", before)
    assert "61 to 100 of 100" in newest
    assert "before=60" in newest


def test_what_was_dropped_stands_where_it_would_have_been(vendor: Vendor, browser: Browser, text: Any) -> None:
    """With the limit that dropped it; the request tells key, amount and window."""
    vendor.settings(limits={"member_per_minute": 1})
    vendor.send(text("seen"))
    vendor.send(text("unseen"))

    talk = browser.talk()
    seq = vendor.calls(path="/cgi-bin/message/send")[-1]["seq"]

    assert "Not delivered: at most 1 per minute, dropped in silence" in talk
    assert talk.count("is-missing") == 1
    told = browser.panel("call", call=seq)
    assert "Dropped in silence: member:ww1/1, at most 1 per minute; not delivered to chenmo" in told
    assert "chenmo: at most 1 per minute" in browser.panel("rules")


def test_a_recall_and_an_update_are_marked_and_lead_to_their_calls(vendor: Vendor, browser: Browser, card: Any) -> None:
    """Both ways: from the send to them, and back."""
    sent = vendor.send(card())
    vendor.update({"atall": 1, "response_code": sent["response_code"], "button": {"replace_name": "done"}})
    vendor.recall(sent["msgid"])
    send, update, recall = (call["seq"] for call in vendor.calls()[-3:])

    talk, told = browser.talk(), browser.panel("call", call=send)

    assert "is-recalled" in talk
    assert "done" in talk
    assert f"Updated by #{update}" in told
    assert f"Taken back by #{recall}" in told
    assert f"Took back the message of #{send}" in browser.panel("call", call=recall)
    assert f"Updated the card of #{send}" in browser.panel("call", call=update)


def test_what_was_cut_is_told_with_its_limit(vendor: Vendor, browser: Browser, text: Any) -> None:
    """2048 bytes of a text; in the message and with its request."""
    vendor.send(text("長" * 700))
    seq = vendor.calls()[-1]["seq"]

    assert "text.content: cut (2100 > 2048 bytes)" in browser.panel("call", call=seq)
    assert "長" * 682 in browser.talk()
    assert "長" * 683 not in browser.talk()


def test_a_suppressed_repeat_leads_to_its_original(vendor: Vendor, browser: Browser, text: Any) -> None:
    """The call was answered like a success, and no one sees it."""
    body = text("twice", enable_duplicate_check=1)
    vendor.send(body)
    vendor.send(body)
    first, second = (call["seq"] for call in vendor.calls(path="/cgi-bin/message/send"))

    told = browser.panel("call", call=second)

    assert "Suppressed as a repeat" in told
    assert f"See #{first}" in told


@pytest.mark.parametrize(
    ("send", "sentence"),
    [
        (
            {"touser": "chenmo|ghost1|unlicensed2"},
            "Unknown or out of reach: invaliduser ghost1; unlicenseduser unlicensed2",
        ),
        ({"touser": "ghost1"}, "The vendor refused it: 81013 user & party & tag all invalid"),
        ({"agentid": None}, "The vendor refused it: 41011 agentid missing"),
    ],
)
def test_what_the_vendor_thought_of_a_call_is_told(
    vendor: Vendor, browser: Browser, text: Any, send: dict[str, Any], sentence: str
) -> None:
    """Ids that it does not reach, and its refusals with their text."""
    vendor.send({**text(), **send})

    assert sentence in browser.panel("call", call=vendor.calls()[-1]["seq"])


def test_a_limit_and_its_penalty_are_told(vendor: Vendor, browser: Browser) -> None:
    """The call that overstepped it, and the one that met the block."""
    vendor.settings(limits={"api_per_minute": 1})
    vendor.token()
    for _ in range(2):
        vendor.gettoken()
    overstepped, blocked = (call["seq"] for call in vendor.calls(path="/cgi-bin/gettoken")[-2:])

    told = browser.panel("call", call=overstepped)

    assert "Beyond a limit: api:ww1:/cgi-bin/gettoken, at most 1 per minute; this one would be 2" in told
    assert "Blocked for an earlier excess: api:ww1:/cgi-bin/gettoken" in browser.panel("call", call=blocked)


def test_a_fault_that_struck_is_told_with_its_rule(vendor: Vendor, browser: Browser, text: Any) -> None:
    """And whether the call still took effect."""
    vendor.token()
    vendor.faults({"times": 1, "action": {"answer": {"errcode": -1}}})
    vendor.send(text())

    told = browser.panel("call", call=vendor.calls()[-1]["seq"])

    assert 'A fault struck: {"answer": {"errcode": -1}} · the request had no effect' in told
    assert '"touser": "chenmo"' in told


def test_texts_are_found_whatever_their_case(vendor: Vendor, browser: Browser, text: Any) -> None:
    """Across all conversations, the newest first; names of fields are no texts."""
    vendor.send(text("Lunch at noon", to="lisi"))
    vendor.send(text("no LUNCH today", to="chenmo|wangwu"))

    found = plain(browser.text("/_inbox/talk", q="lunch", lang="en"))

    assert found.index("no LUNCH today") < found.index("Lunch at noon")
    assert "No message has “content”" in plain(browser.text("/_inbox/talk", q="content", lang="en"))


def test_names_are_found_in_the_list(vendor: Vendor, browser: Browser, text: Any) -> None:
    """Userids, and the names that the settings have for them."""
    vendor.settings(directory={"names": {"chenmo": "陈默"}})
    vendor.send(text("x", to="chenmo|lisi"))

    rows = plain(browser.text("/_inbox/list", q="陈"))

    assert "陈默" in rows
    assert "lisi" not in rows


def test_group_chats_blackboards_and_campaigns_have_conversations(vendor: Vendor, browser: Browser) -> None:
    """Each with what is special about it."""
    vendor.post("appchat/create", {"name": "项目", "userlist": ["chenmo", "lisi"], "chatid": "c1"})
    vendor.post("appchat/send", {"chatid": "c1", "msgtype": "text", "text": {"content": "in the chat"}})
    vendor.post("webhook/send", {"chatid": "bb1", "msgtype": "text", "text": {"content": "on the board"}}, key="k1")
    task = {"external_userid": ["wm1", "wm2"], "sender": "chenmo", "text": {"content": "an offer"}}
    vendor.post("externalcontact/add_msg_template", {"chat_type": "single", **task})

    assert "in the chat" in browser.talk("chat:ww1:c1")
    assert "项目" in browser.talk("chat:ww1:c1")
    assert "on the board" in browser.talk("webhook:blackboard:bb1")
    campaign = plain(browser.talk("campaign:ww1:chenmo"))
    assert "an offer" in campaign
    assert "Waits for the member (recipients: 2)" in campaign


def test_a_group_send_shows_the_cover_of_its_mini_program(vendor: Vendor, browser: Browser) -> None:
    """Though the vendor's list of tasks leaves it out."""
    cover = vendor.upload(PNG, "image", "cover.png")["media_id"]
    shop = {"title": "Shop", "pic_media_id": cover, "appid": "wx1", "page": "p"}
    attachments = [{"msgtype": "miniprogram", "miniprogram": shop}]
    task = {"external_userid": ["wm1"], "sender": "chenmo", "attachments": attachments}
    vendor.post("externalcontact/add_msg_template", {"chat_type": "single", **task})

    assert f'<img src="/_inbox/media/{cover}/cover.png"' in browser.talk("campaign:ww1:chenmo")


def test_pictures_are_looked_at_and_files_saved(vendor: Vendor, browser: Browser) -> None:
    """By their bytes; what claims to be a picture and is a page is saved, too."""
    picture = vendor.upload(PNG, "image", "a.png")["media_id"]
    page = vendor.upload(b"<html><script>alert(1)</script>", "file", "../../<b>.html")["media_id"]
    for kind, media_id in (("image", picture), ("file", page)):
        vendor.send({"touser": "chenmo", "agentid": 1, "msgtype": kind, kind: {"media_id": media_id}})

    links = dict.fromkeys(re.findall(r"/_inbox/media/[^\"]+", browser.talk()))
    shown, saved = (browser.get(link) for link in links)

    assert (shown.headers["Content-Type"], shown.content) == ("image/png", PNG)
    assert saved.headers["Content-Type"] == "application/octet-stream"
    assert saved.headers["Content-Disposition"] == "attachment; filename*=UTF-8''%3Cb%3E.html"
    assert {one.headers["X-Content-Type-Options"] for one in (shown, saved)} == {"nosniff"}


def test_the_oldest_files_are_let_go(vendor: Vendor, browser: Browser) -> None:
    """Beyond the bytes of the setting; the messages stay."""
    vendor.settings(keep_file_bytes=100)
    ids = [vendor.upload(b"x" * 60, "file", f"{n}.txt")["media_id"] for n in range(2)]

    found = [browser.get(f"/_inbox/media/{media_id}/a.txt").status_code for media_id in ids]

    assert found == [404, 200]


def test_a_part_that_did_not_change_is_not_sent_again(vendor: Vendor, browser: Browser, text: Any) -> None:
    """304 for the tag it came with, until something moved in it."""
    vendor.send(text("one"))
    first = browser.get("/_inbox/talk", at=AT)
    tag = {"If-None-Match": first.headers["ETag"]}

    unmoved = browser.get("/_inbox/talk", tag, at=AT)
    vendor.send(text("two"))
    moved = browser.get("/_inbox/talk", tag, at=AT)

    assert (unmoved.status_code, unmoved.content) == (304, b"")
    assert moved.status_code == 200
    assert "two" in moved.text


def test_the_language_is_remembered(browser: Browser) -> None:
    """The one a link asks for; before that the browser's own, and Chinese where it says neither."""
    before = browser.text()
    browser.get("/", lang="en")

    assert '<html lang="zh-CN">' in before
    assert '<html lang="en">' in browser.text()
    assert '<html lang="zh-CN">' in browser.get("/", {"Cookie": "", "Accept-Language": "zh-CN"}, lang="").text


@pytest.mark.parametrize("panel", ["calls", "rules", "faults", "limits", "clock", "callback", "call"])
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_every_panel_opens(vendor: Vendor, browser: Browser, text: Any, panel: str, lang: str) -> None:
    """Beside a conversation, without one, and with nothing sent at all."""
    empty = browser.get("/", panel=panel, lang=lang).status_code
    vendor.send(text())

    assert [empty, *(browser.get("/", panel=panel, lang=lang, at=at).status_code for at in (AT, ""))] == [200, 200, 200]


@pytest.mark.parametrize(
    "query",
    [
        {"at": "nonsense"},
        {"at": "app:ww1%2F1:no-such-person"},
        {"at": "app"},
        {"skip": "-1", "before": "x", "call": "9" * 40},
        {"panel": "nonsense", "kind": "nonsense", "lang": "xx"},
        {"q": "\ud800\x00".encode("utf-8", "surrogatepass")},
        {"before": "0", "at": AT},
        {"panel": "call", "call": "12345"},
    ],
)
def test_a_page_that_is_asked_for_nonsense_still_comes(
    vendor: Vendor, browser: Browser, text: Any, query: dict[str, Any]
) -> None:
    """And says what there is not."""
    vendor.send(text())

    assert browser.get("/", **query).status_code == 200


def test_a_clock_beyond_all_calendars_breaks_no_page(vendor: Vendor, browser: Browser, text: Any) -> None:
    """The instant is shown as a number."""
    vendor.send(text())
    vendor.control("POST", "clock", {"set": 1e15})

    assert "1000000000000000" in browser.panel("clock")


def test_a_new_world_is_a_new_inbox(vendor: Vendor, browser: Browser, text: Any) -> None:
    """After a reset, and after the inbox was cleared."""
    vendor.send(text("from before"))
    before = "chenmo" in browser.text("/_inbox/list")
    vendor.control("DELETE", "inbox")
    cleared = "chenmo" in browser.text("/_inbox/list")
    vendor.send(text("from after"))

    assert (before, cleared) == (True, False)
    assert "from before" not in browser.talk()
    assert "from after" in browser.talk()


def test_pages_are_no_calls_of_the_vendor(vendor: Vendor, browser: Browser) -> None:
    """They are neither logged nor broken."""
    vendor.faults({"action": {"status": 502}})

    browser.text()

    assert [call for call in vendor.calls() if call["path"] == "/"] == []
    assert {
        path: n for path, n in vendor.control("GET", "counts")["counts"].items() if path.startswith("/_inbox")
    } == {}


def test_times_are_those_of_the_consoles_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its offset; without a name they are the host's, as for one that the worker refuses."""
    reader = PageContext(VendorState(SimulatorSettings()), PageQuery(), says("en"))
    shown = {}
    for name in ("Asia/Shanghai", "UTC", "Mars/Olympus"):
        monkeypatch.setenv("WORKER_TIME_ZONE", name)
        shown[name] = reader.time(1_795_255_800)

    assert shown["Asia/Shanghai"] == "2026-11-21 18:10:00 +08:00"
    assert shown["UTC"] == "2026-11-21 10:10:00 UTC"
    assert re.fullmatch(r"2026-11-2\d \d\d:\d\d:00 (UTC|[+-]\d\d:\d\d)", shown["Mars/Olympus"])
