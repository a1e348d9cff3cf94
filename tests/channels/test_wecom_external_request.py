"""How a job becomes parts, and a part a call."""

from __future__ import annotations

import pytest
from wecom_external_samples import ACCESS, CHANNEL, account, campaign, draft, part, sent, task

from worker.channels.wecom_external import Image, Link
from worker.domain.call import FileBody
from worker.domain.content.recipient import CustomerGroups, Customers, Everyone, Recipients
from worker.domain.job import RepeatRule

CREATE = "/cgi-bin/externalcontact/add_msg_template"


def specs(to: Recipients) -> list[dict]:
    """The parts of a job."""
    return CHANNEL.split(draft(to=to))


def test_each_sender_is_a_part():
    """In the order they were named."""
    assert specs(Customers({"a": ["wm1", "wm2"], "b": ["wm3"]})) == [
        {"sender": "a", "customers": ["wm1", "wm2"]},
        {"sender": "b", "customers": ["wm3"]},
    ]
    assert specs(Customers({"a": Everyone()})) == [{"sender": "a", "everyone": True}]
    assert specs(CustomerGroups({"a": Everyone()})) == [{"sender": "a", "everyone": True, "audience": "groups"}]
    assert specs(Customers(["wm1"])) == [{"customers": ["wm1"]}]
    assert specs(Everyone()) == [{"everyone": True}]


@pytest.mark.parametrize(
    ("count", "sizes"), [(10_000, [10_000]), (10_001, [10_000, 1]), (25_000, [10_000] * 2 + [5000])]
)
def test_ten_thousand_customers_are_a_part(count: int, sizes: list[int]):
    """Nobody is left out or named twice."""
    ids = [f"wm{n}" for n in range(count)]

    found = specs(Customers({"a": ids}))

    assert sizes == [len(one["customers"]) for one in found]
    assert ids == [each for one in found for each in one["customers"]]
    assert sizes == [len(one["customers"]) for one in specs(Customers(ids))]


def test_two_thousand_groups_are_a_part():
    """Of each owner."""
    found = specs(CustomerGroups({"a": [f"wr{n}" for n in range(2001)], "b": ["wrb"]}))

    assert [(one["sender"], len(one["chats"])) for one in found] == [("a", 2000), ("a", 1), ("b", 1)]


@pytest.mark.parametrize(
    ("spec", "beside"),
    [
        ({"sender": "a", "customers": ["wm1"]}, {"chat_type": "single", "sender": "a", "external_userid": ["wm1"]}),
        ({"customers": ["wm1"]}, {"chat_type": "single", "external_userid": ["wm1"]}),
        ({"sender": "a", "everyone": True}, {"chat_type": "single", "sender": "a"}),
        ({"everyone": True}, {"chat_type": "single"}),
        ({"sender": "a", "chats": ["wr1"]}, {"chat_type": "group", "sender": "a", "chat_id_list": ["wr1"]}),
        ({"sender": "a", "everyone": True, "audience": "groups"}, {"chat_type": "group", "sender": "a"}),
    ],
)
def test_the_create_call(spec: dict, beside: dict):
    """Recipients and sender beside the content as it was asked for."""
    link = {"msgtype": "link", "link": {"title": "t", "url": "https://e.com"}}
    document = campaign("hello", link, allow_select=True)

    path, body = sent(part(document, spec))

    content = {"text": {"content": "hello"}, "attachments": [link], "allow_select": True}
    assert path == CREATE
    assert body == {**content, **beside}


def test_files_are_filled_in():
    """A media_id, or the URL of a picture, at its place; the document stays as it was."""
    document = campaign(None, Image(), Image(as_url=True), Link(title="t", url="https://e.com"))
    media = {"attachments.0.image.media_id": "M1", "attachments.1.image.pic_url": "http://p.qpic.cn/1"}

    _, body = sent(part(document, facts={"media": media}))

    assert [one["image"] for one in body["attachments"][:2]] == [{"media_id": "M1"}, {"pic_url": "http://p.qpic.cn/1"}]
    assert document["body"]["attachments"][0]["image"] == {}


@pytest.mark.parametrize(
    ("made", "path", "body"),
    [
        (task("recall"), "cancel_groupmsg_send", {"msgid": "msg1"}),
        (task("remind"), "remind_groupmsg_send", {"msgid": "msg1"}),
        (task("track", step="task", member=None, cursor=""), "get_groupmsg_task", {"msgid": "msg1", "limit": 1000}),
        (
            task("track", step="task", member=None, cursor="c2"),
            "get_groupmsg_task",
            {"msgid": "msg1", "limit": 1000, "cursor": "c2"},
        ),
        (
            task("track", step="result", member="a", cursor="c3"),
            "get_groupmsg_send_result",
            {"msgid": "msg1", "limit": 1000, "cursor": "c3", "userid": "a"},
        ),
    ],
)
def test_calls_about_a_task(made, path: str, body: dict):
    """By its msgid; pages are as large as they may be."""
    assert (f"/cgi-bin/externalcontact/{path}", body) == sent(made)


@pytest.mark.parametrize(
    ("upload_type", "path", "query"),
    [
        ("image", "/cgi-bin/media/upload", {"access_token": "tok_1", "type": "image"}),
        ("uploadimg", "/cgi-bin/media/uploadimg", {"access_token": "tok_1"}),
    ],
)
def test_uploads_are_those_of_the_corp(upload_type: str, path: str, query: dict):
    """The same call as an application's; both lists of limits count a permanent picture."""
    file = {"upload_type": upload_type, "name": "a.png", "size": 262144, "sha256": "0" * 64}
    made = part(CHANNEL.upload_part(file), {}, kind="upload", facts={"open": lambda: [b""]})

    built = CHANNEL.request(made, account({"deadline_s": 7}), ACCESS, flagged=False)

    assert isinstance(built.body, FileBody)
    assert (path, query, 8.0, "media") == (built.path, built.query, built.deadline_s, built.body.field_name)
    assert f"upload/{upload_type}" == CHANNEL.lane("upload", made.message, {})
    names = [charge.limit.name for charge in CHANNEL.limits(made, account())]
    assert names[:2] == ["corp_minute", "corp_hour"]
    assert (["uploadimg_day", "uploadimg_month"] if upload_type == "uploadimg" else []) == names[2:]
    assert CHANNEL.media_scope(account()) == "corp:ww01"
    assert CHANNEL.upload_limit(account(), "uploadimg") == 2 << 20


def test_limits():
    """Every API counts its own calls in the corp; a task's reminders are three a day; amounts are the account's."""
    create = CHANNEL.limits(part(), account())
    searching = CHANNEL.limits(part(in_doubt=True, facts={"doubt": [0, 1]}), account())
    remind = CHANNEL.limits(task("remind"), account(limits={"corp_hour": 0, "remind_day": 2}))

    assert [(one.limit.name, one.limit.amount) for one in create] == [("corp_minute", 10_000), ("corp_hour", 150_000)]
    assert {f"ww01/{CREATE}"} == {one.subject for one in create}
    assert {one.subject for one in searching} == {"ww01//cgi-bin/externalcontact/get_groupmsg_list_v2"}
    assert [(one.limit.name, one.limit.amount) for one in remind] == [("corp_minute", 10_000), ("remind_day", 2)]
    assert remind[-1].subject == "ww01/remind/msg1"


def test_lanes_and_repeats():
    """Customers and groups are blocked apart; a lost create is looked up, a lost reminder held, all else repeated."""
    lanes = {
        CHANNEL.lane("send", campaign(), {"sender": "a", "customers": ["wm1"]}),
        CHANNEL.lane("send", campaign(), {"sender": "a", "chats": ["wr1"]}),
        CHANNEL.lane("track", {"type": "track"}, {}),
    }
    rules = {kind: CHANNEL.repeat_rule(kind, {})[0] for kind in ("recall", "remind", "track")}

    assert lanes == {"send/single", "send/group", "track"}
    assert CHANNEL.repeat_rule("send", campaign()) == (RepeatRule.LOOK_UP, 0)
    harmless = RepeatRule.HARMLESS
    assert {"recall": harmless, "remind": RepeatRule.HOLD, "track": harmless} == rules


def test_what_no_search_can_tell_apart_has_one_hash():
    """Groups and tag filters are never told by the vendor; customers, senders and contents are."""

    def hashed(document: dict, **spec: object) -> str:
        return CHANNEL.body_hash(part(document, dict(spec)), account())

    groups = hashed(campaign(), sender="a", chats=["wr1"])
    filtered = campaign(tag_filter={"group_list": [{"tag_list": ["et1"]}]})
    everybody = hashed(campaign(), sender="a", everyone=True)

    assert groups == hashed(campaign(), sender="a", chats=["wr2"])
    assert everybody == hashed(filtered, sender="a", everyone=True)
    other = {
        groups,
        everybody,
        hashed(campaign("else"), sender="a", everyone=True),
        hashed(campaign(), sender="b", everyone=True),
        hashed(campaign(), sender="a", customers=["wm1"]),
        hashed(campaign(), sender="a", customers=["wm2"]),
        hashed({**campaign(), "files": {"x": {"sha256": "1"}}}, sender="a", everyone=True),
        CHANNEL.body_hash(part(None, {"sender": "a", "everyone": True}), account({}, allow_everyone=True)) + "!",
    }
    assert len(other) == 8


@pytest.mark.parametrize(
    ("kind", "target", "field"),
    [
        ("update_card", "send", "update_card"),
        ("create_chat", "send", "kind"),
        ("recall", "upload", "job_id"),
        ("track", "recall", "job_id"),
        ("remind", "track", "job_id"),
    ],
)
def test_follow_ups_that_cannot_be(kind: str, target: str, field: str):
    """There are no cards, and only a send has a task."""
    problem = CHANNEL.follow_up_problem(kind, target)

    assert problem is not None
    assert field == problem.field


def test_follow_ups_of_a_send():
    """It can be cancelled, followed, and its members reminded."""
    assert [CHANNEL.follow_up_problem(kind, "send") for kind in ("recall", "track", "remind")] == [None] * 3
    kinds = [CHANNEL.kind_of({"type": one}, Recipients()) for one in ("campaign", "raw", "upload", "track", "remind")]
    assert kinds == ["send", "send", "upload", "track", "remind"]
