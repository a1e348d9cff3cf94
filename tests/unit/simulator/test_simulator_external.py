"""Group sends: tasks are made, wait for members, are queried page by page, reminded of and cancelled."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

NOON = datetime(2026, 7, 1, 4, 0, tzinfo=UTC).timestamp()
"""In Shanghai, a Wednesday."""
LINK = {"msgtype": "link", "link": {"title": "t", "url": "https://e.com"}}
PAGE = {"title": "t", "pic_media_id": "m", "appid": "wx1", "page": "p"}
DAY = 86_400


class Groupmsg:
    """The calls of group sends, and their control."""

    def __init__(self, vendor: Any) -> None:
        self.vendor = vendor
        vendor.control("POST", "clock", {"set": NOON, "frozen": True})
        vendor.settings(token={"lifetime_s": 100 * DAY})
        vendor.settings(
            external={"dispatch_s": 0}, media={"known": {kind: ["m"] for kind in ("image", "video", "file")}}
        )

    def call(self, name: str, token: str | None = None, **body: Any) -> dict[str, Any]:
        """The reply of a call below externalcontact/."""
        return dict(self.vendor.post(f"externalcontact/{name}", body, token=token).json())

    def create(self, **body: Any) -> dict[str, Any]:
        """The reply of add_msg_template; a text of lihua to one customer unless told otherwise."""
        base = {"sender": "lihua", "external_userid": ["wm1"], "text": {"content": "hi"}}
        given = {name: value for name, value in {**base, **body}.items() if value is not None}
        return self.call("add_msg_template", **given)

    def act(self, name: str, **given: Any) -> Any:
        """A control act."""
        return self.vendor.control("POST", f"groupmsg_{name}", given)

    def tasks(self) -> list[dict[str, Any]]:
        """All tasks, as control shows them."""
        return list(self.vendor.control("GET", "groupmsg_tasks")["tasks"])

    def listed(self, **body: Any) -> list[dict[str, Any]]:
        """All tasks of the list, over all pages."""
        given = {"chat_type": "single", "start_time": int(NOON) - DAY, "end_time": int(NOON) + DAY, **body}
        found, cursor = [], ""
        while True:
            page = self.call("get_groupmsg_list_v2", **given, **({"cursor": cursor} if cursor else {}))
            assert page["errcode"] == 0
            found += page["group_msg_list"]
            cursor = page["next_cursor"]
            if not cursor:
                return found


@pytest.fixture
def groupmsg(vendor: Any) -> Groupmsg:
    """No tasks yet."""
    return Groupmsg(vendor)


def test_a_task_waits_for_its_member(groupmsg: Groupmsg) -> None:
    """Made and told, without creator and with its time in a string; nobody was sent to."""
    made = groupmsg.create(attachments=[LINK, {"msgtype": "miniprogram", "miniprogram": PAGE}])

    (task,) = groupmsg.listed()
    members = groupmsg.call("get_groupmsg_task", msgid=made["msgid"])
    results = groupmsg.call("get_groupmsg_send_result", msgid=made["msgid"], userid="lihua")
    page = {name: value for name, value in PAGE.items() if name != "pic_media_id"}
    assert (made["errcode"], made["errmsg"], made["fail_list"]) == (0, "ok", [])
    assert made["msgid"].startswith("msg")
    assert {
        "msgid": made["msgid"],
        "create_time": str(int(NOON)),
        "create_type": 0,
        "text": {"content": "hi"},
        "attachments": [LINK, {"msgtype": "miniprogram", "miniprogram": page}],
    } == task
    assert members["task_list"] == [{"userid": "lihua", "status": 0}]
    assert results["send_list"] == [{"external_userid": "wm1", "userid": "lihua", "status": 0}]
    assert "" == members["next_cursor"] == results["next_cursor"]


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (40058, {"text": None}),
        (40058, {"text": {"content": ""}}),
        (40058, {"text": {"content": "字" * 1334}}),
        (0, {"text": {"content": "字" * 1333}}),
        (41064, {"attachments": [LINK] * 10}),
        (0, {"attachments": [LINK] * 9, "text": None}),
        (41065, {"attachments": [{"msgtype": "voice", "voice": {"media_id": "m"}}]}),
        (40058, {"attachments": [{"msgtype": "image", "link": LINK["link"]}]}),
        (40058, {"attachments": ["image"]}),
        (41006, {"attachments": [{"msgtype": "image", "image": {}}]}),
        (40007, {"attachments": [{"msgtype": "image", "image": {"media_id": "unknown"}}]}),
        (40058, {"attachments": [{"msgtype": "image", "image": {"pic_url": "https://elsewhere.example.com/1"}}]}),
        (0, {"attachments": [{"msgtype": "image", "image": {"pic_url": "http://p.qpic.cn/1", "media_id": "m"}}]}),
        (40058, {"attachments": [{"msgtype": "link", "link": {"title": "x" * 129, "url": "https://e.com"}}]}),
        (40058, {"attachments": [{"msgtype": "link", "link": {"title": "t"}}]}),
        (40094, {"attachments": [{"msgtype": "link", "link": {"title": "t", "url": "e.com"}}]}),
        (40058, {"attachments": [{"msgtype": "miniprogram", "miniprogram": {**PAGE, "title": "x" * 65}}]}),
        (41006, {"attachments": [{"msgtype": "miniprogram", "miniprogram": {**PAGE, "pic_media_id": ""}}]}),
        (41006, {"attachments": [{"msgtype": "video", "video": {}}]}),
        (40058, {"chat_type": "all"}),
        (40058, {"external_userid": [f"wm{n}" for n in range(10_001)]}),
        (0, {"external_userid": [f"wm{n}" for n in range(10_000)]}),
        (40058, {"chat_type": "group", "chat_id_list": [f"wr{n}" for n in range(2001)]}),
        (0, {"chat_type": "group", "chat_id_list": [f"wr{n}" for n in range(2000)]}),
        (40058, {"chat_type": "group", "sender": None}),
        (40058, {"sender": None, "external_userid": None}),
        (40003, {"sender": "ghost1"}),
        (41048, {"external_userid": ["ghost1", "ghost2"]}),
        (40096, {"external_userid": ["no spaces", "!"]}),
        (41048, {"external_userid": ["no spaces", "ghost1"]}),
        (40068, {"external_userid": None, "tag_filter": {"group_list": [{"tag_list": ["ghost1"]}]}}),
        (40058, {"external_userid": None, "tag_filter": {"group_list": [{"tag_list": ["t"] * 101}]}}),
    ],
)
def test_what_a_task_has_to_be(groupmsg: Groupmsg, code: int, body: dict[str, Any]) -> None:
    """At its limits it is taken, beyond them refused, and then nothing is made."""
    assert code == groupmsg.create(**body)["errcode"]
    assert bool(groupmsg.tasks()) is (code == 0)


def test_codes_that_nobody_knows_are_settings(groupmsg: Groupmsg) -> None:
    """0 accepts."""
    codes = {"missing_sender_code": 60111, "picture_code": 0, "nobody_code": 0, "malformed_code": 40058}
    groupmsg.vendor.settings(external=codes)
    picture = {"msgtype": "image", "image": {"pic_url": "https://elsewhere.example.com/1"}}

    found = [
        groupmsg.create(sender="ghost1")["errcode"],
        groupmsg.create(attachments=[picture])["errcode"],
        groupmsg.create(external_userid=["ghost1"])["errcode"],
        groupmsg.create(external_userid=["no spaces"])["errcode"],
    ]

    assert found == [60111, 0, 0, 40058]


def test_values_of_a_wrong_type(groupmsg: Groupmsg) -> None:
    """They are not read, and the answer warns."""
    reply = groupmsg.create(attachments=[{"msgtype": "link", "link": {**LINK["link"], "desc": 5}}])

    assert reply["errmsg"] == "ok. Warning: wrong json format. "


def test_some_cannot_be_sent_to(groupmsg: Groupmsg) -> None:
    """errcode is 0, and they stand in fail_list: unknown, malformed, or another member's."""
    groupmsg.vendor.settings(external={"customers": {"lihua": ["wm1", "wm2"]}})

    reply = groupmsg.create(external_userid=["wm1", "ghost1", "no spaces", "wm3", "ghost1"])

    assert (reply["errcode"], reply["fail_list"]) == (0, ["ghost1", "no spaces", "wm3"])
    assert list(groupmsg.tasks()[0]["members"]["lihua"]["results"]) == ["wm1"]


def test_who_gets_the_task(groupmsg: Groupmsg) -> None:
    """Without a sender whoever talked last; with a sender alone all of theirs, or those with the tags."""
    groupmsg.vendor.settings(
        external={
            "talked_last": {"wm1": "chenmo"},
            "customers": {"ann": ["wm5", "wm6", "wm7"]},
            "tags": {"wm5": ["a", "b"], "wm6": ["a"], "wm7": ["b"]},
        }
    )
    tagged = {"group_list": [{"tag_list": ["a"]}, {"tag_list": ["b", "c"]}]}

    groupmsg.create(sender=None, external_userid=["wm1", "wm2"])
    groupmsg.create(external_userid=None)
    groupmsg.create(sender="ann", external_userid=None)
    groupmsg.create(sender="ann", external_userid=None, tag_filter=tagged)
    groupmsg.create(sender=None, external_userid=None, tag_filter=tagged)

    shares = [{one: list(m["results"]) for one, m in task["members"].items()} for task in groupmsg.tasks()]
    assert shares == [
        {"chenmo": ["wm1"], "service1": ["wm2"]},
        {"lihua": ["wm-lihua-1", "wm-lihua-2", "wm-lihua-3"]},
        {"ann": ["wm5", "wm6", "wm7"]},
        {"ann": ["wm5"]},
        {"service1": ["wm5"]},
    ]
    assert groupmsg.create(external_userid=None, tag_filter={"group_list": [{"tag_list": ["z"]}]})["errcode"] == 41048


def test_who_may_call(groupmsg: Groupmsg) -> None:
    """Apps that may, for members they see, about tasks of their corp."""
    groupmsg.vendor.settings(apps=[{"corpid": "wwA", "secret": "s", "visible": ["lihua"]}])
    token, msgid = groupmsg.vendor.token("wwA", "s"), groupmsg.create()["msgid"]
    text = {"text": {"content": "x"}, "external_userid": ["wm1"]}
    foreign = groupmsg.call("get_groupmsg_task", token=token, msgid=msgid)["errcode"]
    invisible = groupmsg.call("add_msg_template", token=token, sender="chenmo", **text)["errcode"]
    mixed = groupmsg.act("foreign", corpid="wwA", text="x", members={"lihua": ["wm1"], "chenmo": ["wm2"]})["msgid"]
    seen = groupmsg.call("get_groupmsg_task", token=token, msgid=mixed)["task_list"]
    hidden = groupmsg.call("get_groupmsg_send_result", token=token, msgid=mixed, userid="chenmo")["errcode"]
    groupmsg.vendor.settings(external={"permitted": False})

    assert foreign == 41047
    assert invisible == 60011
    assert [one["userid"] for one in seen] == ["lihua"]
    assert hidden == 40003
    assert groupmsg.create()["errcode"] == 48002
    assert groupmsg.call("add_msg_template", token="wrong")["errcode"] == 40014


def test_right_after_it_was_made(groupmsg: Groupmsg) -> None:
    """Whatever asks about it is told to wait."""
    groupmsg.vendor.settings(external={"dispatch_s": 3})
    msgid = groupmsg.create()["msgid"]
    calls = ("get_groupmsg_task", "get_groupmsg_send_result", "remind_groupmsg_send", "cancel_groupmsg_send")

    early = [groupmsg.call(name, msgid=msgid, userid="lihua")["errcode"] for name in calls]
    groupmsg.vendor.advance(3)
    later = [groupmsg.call(name, msgid=msgid, userid="lihua")["errcode"] for name in calls]

    assert early == [41063] * 4
    assert later == [0] * 4
    assert len(groupmsg.listed()) == 1


def test_members_confirm(groupmsg: Groupmsg) -> None:
    """To all, or to some; who left is told so; a second time nobody gets it again."""
    msgid = groupmsg.create(external_userid=["wm1", "wm2", "former1"])["msgid"]
    some = groupmsg.act("confirm", msgid=msgid, member="lihua", recipients=["wm1"])
    groupmsg.vendor.advance(60)
    rest = groupmsg.act("confirm", msgid=msgid, member="lihua")

    results = groupmsg.call("get_groupmsg_send_result", msgid=msgid, userid="lihua")["send_list"]
    assert some["statuses"] == {"0": 2, "1": 1}
    assert rest["statuses"] == {"1": 2, "2": 1}
    assert [(one["external_userid"], one["status"], one.get("send_time")) for one in results] == [
        ("wm1", 1, NOON),
        ("wm2", 1, NOON + 60),
        ("former1", 2, None),
    ]
    (member,) = groupmsg.call("get_groupmsg_task", msgid=msgid)["task_list"]
    assert {"userid": "lihua", "status": 2, "send_time": int(NOON)} == member


def test_members_ignore(groupmsg: Groupmsg) -> None:
    """Nothing happens, for ever; control alone shows it. Who has no such task can do neither."""
    msgid = groupmsg.create()["msgid"]

    shown = groupmsg.act("ignore", msgid=msgid, member="lihua")

    assert shown["members"]["lihua"]["ignored"]
    assert groupmsg.call("get_groupmsg_task", msgid=msgid)["task_list"][0]["status"] == 0
    for name, given in (("ignore", {"member": "ann"}), ("confirm", {"member": "ann"}), ("confirm", {"msgid": "none"})):
        url = f"{groupmsg.vendor.url}/_control/groupmsg_{name}"
        reply = groupmsg.vendor.session.post(url, json={"msgid": msgid, "member": "lihua", **given}, timeout=60)
        assert reply.status_code == 400


def test_groups_are_invisible_until_they_were_sent_to(groupmsg: Groupmsg) -> None:
    """Only sent records are told; an owner without a list chooses from their own groups."""
    named = groupmsg.create(chat_type="group", external_userid=None, chat_id_list=["wr1", "wr2"])["msgid"]
    chosen = groupmsg.create(chat_type="group", external_userid=None)["msgid"]
    before = groupmsg.call("get_groupmsg_send_result", msgid=named, userid="lihua")["send_list"]
    groupmsg.act("confirm", msgid=named, member="lihua", recipients=["wr2"])
    groupmsg.act("confirm", msgid=chosen, member="lihua")

    after = groupmsg.call("get_groupmsg_send_result", msgid=named, userid="lihua")["send_list"]
    own = groupmsg.call("get_groupmsg_send_result", msgid=chosen, userid="lihua")["send_list"]
    assert before == []
    assert [(one["chat_id"], one["status"]) for one in after] == [("wr2", 1)]
    assert [one["chat_id"] for one in own] == ["wr-lihua-1", "wr-lihua-2", "wr-lihua-3"]
    assert len(groupmsg.listed(chat_type="group")) == 2


def test_unsent_customers_may_be_hidden_too(groupmsg: Groupmsg) -> None:
    """By setting, for pages do not promise them."""
    groupmsg.vendor.settings(external={"unsent_listed": False})
    msgid = groupmsg.create()["msgid"]

    assert groupmsg.call("get_groupmsg_send_result", msgid=msgid, userid="lihua")["send_list"] == []


@pytest.mark.parametrize(
    ("cap", "most", "wait_s"), [("day", 1, DAY), ("week", 7, 5 * DAY), ("month", 31, 31 * DAY), ("seed", 4, 31 * DAY)]
)
def test_what_a_customer_takes(groupmsg: Groupmsg, cap: str, most: int, wait_s: float) -> None:
    """Corp-made and member-made together; beyond it nothing arrives, and the next period begins anew."""
    groupmsg.vendor.settings(external={"cap": cap})
    groupmsg.act("spend", corpid="ww1", recipient="wm1", count=most - 1)
    sent = []
    for wait in (0, 0, wait_s):
        groupmsg.vendor.advance(wait)
        msgid = groupmsg.create(external_userid=["wm1"])["msgid"]
        sent.append(groupmsg.act("confirm", msgid=msgid, member="lihua")["statuses"])

    assert sent == [{"1": 1}, {"3": 1}, {"1": 1}]


def test_who_takes_no_more_may_be_refused_at_once(groupmsg: Groupmsg) -> None:
    """By setting; pages do not say whether such ids stand in fail_list."""
    groupmsg.vendor.settings(external={"cap": "day", "capped_in_fail_list": True})
    groupmsg.act("spend", corpid="ww1", recipient="wm1")

    assert groupmsg.create(external_userid=["wm1", "wm2"])["fail_list"] == ["wm1"]


def test_three_reminders_in_a_day(groupmsg: Groupmsg) -> None:
    """A fourth is refused, until the first is 24 hours old; another task has three of its own."""
    msgid, other = groupmsg.create()["msgid"], groupmsg.create()["msgid"]
    codes = []
    for wait in (0, 3600, 3600, 3600, DAY - 3 * 3600 - 1, 2):
        groupmsg.vendor.advance(wait)
        codes.append(groupmsg.call("remind_groupmsg_send", msgid=msgid)["errcode"])

    assert codes == [0, 0, 0, 41094, 41094, 0]
    assert groupmsg.call("remind_groupmsg_send", msgid=other)["errcode"] == 0
    assert groupmsg.tasks()[0]["reminders"] == 4


def test_cancelled(groupmsg: Groupmsg) -> None:
    """0 even when all was sent, which stays; afterwards nobody can send, and a second cancel is refused."""
    sent, waiting = groupmsg.create()["msgid"], groupmsg.create()["msgid"]
    groupmsg.act("confirm", msgid=sent, member="lihua")

    codes = [groupmsg.call("cancel_groupmsg_send", msgid=one)["errcode"] for one in (sent, waiting, waiting)]

    assert codes == [0, 0, 41093]
    assert groupmsg.call("remind_groupmsg_send", msgid=waiting)["errcode"] == 41093
    assert groupmsg.call("get_groupmsg_send_result", msgid=sent, userid="lihua")["send_list"][0]["status"] == 1
    groupmsg.vendor.settings(external={"cancelled_query_code": 41093})
    assert groupmsg.call("get_groupmsg_task", msgid=waiting)["errcode"] == 41093
    url = f"{groupmsg.vendor.url}/_control/groupmsg_confirm"
    refused = groupmsg.vendor.session.post(url, json={"msgid": waiting, "member": "lihua"}, timeout=60)
    assert refused.status_code == 400


def test_tasks_of_others(groupmsg: Groupmsg) -> None:
    """They look as they are told to; who made them in the console is told, and a filter leaves them out."""
    ours = groupmsg.create()["msgid"]
    alike = groupmsg.act("foreign", corpid="ww1", text="hi", members={"lihua": ["wm1"]}, age_s=10)["msgid"]
    console = groupmsg.act("foreign", corpid="ww1", text="hi", members={"lihua": ["wm1"]}, creator="admin")["msgid"]
    own = groupmsg.act("foreign", corpid="ww1", members={"ann": ["wm1"]}, create_type=1, attachments=[LINK])["msgid"]
    groupmsg.act("foreign", corpid="ww2", text="hi", members={"lihua": ["wm1"]})

    assert {ours, alike, console, own} == {one["msgid"] for one in groupmsg.listed()}
    assert {ours, alike, console} == {one["msgid"] for one in groupmsg.listed(filter_type=0)}
    assert {own} == {one["msgid"] for one in groupmsg.listed(filter_type=1)}
    assert {console} == {one["msgid"] for one in groupmsg.listed(creator="admin")}
    assert {ours, console, own} == {one["msgid"] for one in groupmsg.listed(start_time=int(NOON))}


def test_pages(groupmsg: Groupmsg) -> None:
    """Nothing is told twice or left out; a limit beyond the maximum counts as the default; cursors must be known."""
    msgids = [groupmsg.create(external_userid=[f"wm{n}"])["msgid"] for n in range(7)]
    large = groupmsg.create(external_userid=[f"wm{n}" for n in range(1200)])["msgid"]

    sizes = []
    for limit in (None, 500, 1000, 1001):
        given = {} if limit is None else {"limit": limit}
        page = groupmsg.call("get_groupmsg_send_result", msgid=large, userid="lihua", **given)
        sizes.append((len(page["send_list"]), bool(page["next_cursor"])))
    groupmsg.vendor.settings(external={"max_page_size": 3})

    assert sizes == [(500, True), (500, True), (1000, True), (500, True)]
    assert {*msgids, large} == {one["msgid"] for one in groupmsg.listed()}
    assert len(groupmsg.listed(limit=2)) == 8
    for cursor in ("nonsense", "CURSOR-99999", 7):
        assert groupmsg.call("get_groupmsg_task", msgid=large, cursor=cursor)["errcode"] == 50100


@pytest.mark.parametrize(
    ("code", "name", "body"),
    [
        (41046, "get_groupmsg_task", {}),
        (41047, "get_groupmsg_task", {"msgid": "none"}),
        (41046, "remind_groupmsg_send", {}),
        (41047, "cancel_groupmsg_send", {"msgid": "none"}),
        (40058, "get_groupmsg_list_v2", {"chat_type": "single"}),
        (40058, "get_groupmsg_list_v2", {"start_time": 0, "end_time": 1}),
        (40058, "get_groupmsg_list_v2", {"chat_type": "single", "start_time": 0, "end_time": 32 * DAY}),
        (40058, "get_groupmsg_list_v2", {"chat_type": "single", "start_time": 5, "end_time": 4}),
    ],
)
def test_questions_that_cannot_be_answered(groupmsg: Groupmsg, code: int, name: str, body: dict[str, Any]) -> None:
    """What is missing, unknown, or too long a span."""
    assert code == groupmsg.call(name, **body)["errcode"]


def test_calls_are_counted_per_corp_and_api(groupmsg: Groupmsg) -> None:
    """As all calls are, each path by itself."""
    groupmsg.vendor.settings(limits={"api_per_minute": 2})

    codes = [groupmsg.create()["errcode"] for _ in range(3)]

    assert codes == [0, 0, 45009]
    assert 1 <= len(groupmsg.listed())
