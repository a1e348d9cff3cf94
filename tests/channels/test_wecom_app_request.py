"""Parts, lanes, limits, and the bytes that go to the vendor."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st
from wecom_app_samples import ACCESS, CHANNEL, JOB, account, card, draft, part, sent, text

from worker.channels.base import Channel
from worker.channels.wecom_app import CardUpdate, Image, Raw, Text
from worker.domain.call import Access
from worker.domain.content.recipient import Everyone, To
from worker.domain.job import RepeatRule
from worker.domain.outcome import Scope
from worker.producer.resend import REPLAY_SUFFIX_CHARACTERS

UPLOAD = {"upload_type": "image", "name": 'a"/\r\n:报表.png', "size": 512 * 1024, "sha256": "ab" * 32, "blob": "b1"}


def amounts(charges) -> dict:
    return {(charge.limit.name, charge.subject): (charge.limit.amount, charge.units) for charge in charges}


def test_is_a_channel():
    """The class answers every question of the seam."""
    channel: Channel = CHANNEL

    assert (channel.name, channel.uses_token) == ("wecom_app", True)
    assert {"send", "recall", "upload", "update_card"} < channel.kinds
    assert {"send_chat", "create_chat", "change_chat"} < channel.kinds


@given(st.integers(0, 2500), st.integers(0, 250), st.integers(0, 250))
def test_split_loses_and_doubles_nobody(users, parties, tags):
    """Every recipient stands in exactly one part, no part is over a maximum, and no call is wasted."""
    to = To([f"u{n}" for n in range(users)], range(1, parties + 1), range(1, tags + 1))

    specs = CHANNEL.split(draft(text(), to))

    for name, asked, most in (("users", to.users, 1000), ("parties", to.parties, 100), ("tags", to.tags, 100)):
        assert list(asked) == [entry for spec in specs for entry in spec.get(name, [])]
        assert all(len(spec.get(name, [])) <= most for spec in specs)
    assert max(1, -(-users // 1000), -(-parties // 100), -(-tags // 100)) == len(specs)


def test_split_of_everyone_and_follow_ups():
    """A broadcast is one part; a recall, an upload and an update are one part each."""
    update = CardUpdate(replace_name="x").document()

    assert CHANNEL.split(draft(text(), Everyone())) == [{"everyone": True}]
    assert CHANNEL.split(draft({}, kind="recall")) == [{}]
    assert CHANNEL.split(draft({"type": "upload"}, kind="upload")) == [{}]
    assert CHANNEL.split(draft(update, To("a", tags=[1]), kind="update_card")) == [{"users": ["a"], "tags": ["1"]}]
    assert CHANNEL.split(draft(update, Everyone(), kind="update_card")) == [{}]


@pytest.mark.parametrize(("replay", "ids"), [("", ["own", "own_1"]), ("x-2", ["own_rx-2", "own_1_rx-2"])])
def test_own_task_ids(replay, ids):
    """A caller's task_id is distinct per part and per replay."""
    specs = CHANNEL.split(draft(card(task_id="own"), To([f"u{n}" for n in range(1001)]), replay=replay))

    assert ids == [spec["task_id"] for spec in specs]


def test_longest_task_id_keeps_room():
    """The longest task_id that is let through stays inside the vendor's 128 bytes with its suffix, in all parts."""
    job = draft(card(task_id="a" * 114), To(parties=range(1, 100_102)), replay="r" * REPLAY_SUFFIX_CHARACTERS)

    assert CHANNEL.check(job) == []
    assert all(len(spec["task_id"]) <= 128 for spec in CHANNEL.split(job))


def test_worker_task_id():
    """Without the caller's, the part's id makes a task_id of the allowed characters."""
    spec = CHANNEL.split(draft(card()))[0]

    assert "task_id" not in spec
    assert (
        f"w{JOB}-3"
        == sent(CHANNEL.request(part(card(), spec, n=3), account(), ACCESS, flagged=False))["template_card"]["task_id"]
    )


@pytest.mark.parametrize(
    ("kind", "message", "lane"),
    [
        ("send", text(), "send/text"),
        ("send", card(), "send/template_card"),
        ("recall", {}, "recall"),
        ("update_card", {"type": "card_update"}, "update_card"),
        ("upload", {"type": "upload", "files": {"media": UPLOAD}}, "upload/image"),
    ],
)
def test_lanes(kind, message, lane):
    """A lane is the finest scope a vendor code can park."""
    assert lane == CHANNEL.lane(kind, message, {})


def test_send_is_counted_per_member():
    """A send costs each named member one of 30 a minute and one of 1000 an hour, whatever the case of the id."""
    charges = CHANNEL.limits(part(spec={"users": ["LiHua"], "parties": ["1"]}), account())

    assert amounts(charges) == {
        ("member_minute", "ww01/1000007/lihua"): (30, 1),
        ("member_hour", "ww01/1000007/lihua"): (1000, 1),
    }
    assert {charge.limit.scope for charge in charges} == {Scope.PART}


@pytest.mark.parametrize(
    ("spec", "settings", "limits", "expected"),
    [
        ({"parties": ["1", "2"]}, {"account_cap": 5}, {}, (1000, 2)),
        (
            {"parties": ["1", "2"], "tags": ["3"]},
            {"account_cap": 5, "estimates": {"party": 40, "tag": 7}},
            {},
            (1000, 87),
        ),
        ({"everyone": True}, {"account_cap": 5}, {}, (1000, 5)),
        ({"everyone": True}, {"estimates": {"everyone": 9}}, {"app_day": 50}, (50, 9)),
        ({"everyone": True}, {}, {"app_day": 50}, (50, 1)),
        ({"parties": ["1"]}, {"account_cap": 1, "estimates": {"party": 999}}, {}, (200, 200)),
    ],
)
def test_person_times_a_day(spec, settings, limits, expected):
    """Person-times a day are counted once the corp's size is known, and a part never costs more than a day holds."""
    charges = CHANNEL.limits(part(spec=spec), account(settings, limits=limits))

    assert {("app_day", "ww01/1000007"): expected} == amounts(charges)


def test_limits_can_be_changed_and_switched_off():
    """An account's amounts go before ours; 0 switches a limit off."""
    changed = account({"account_cap": 5}, limits={"member_minute": 10, "member_hour": 0, "app_day": 0, "corp_hour": 0})

    assert amounts(CHANNEL.limits(part(), changed)) == {("member_minute", "ww01/1000007/lihua"): (10, 1)}
    assert amounts(CHANNEL.limits(part({}, {}, kind="recall"), changed)) == {
        ("corp_minute", "ww01//cgi-bin/message/recall"): (10_000, 1)
    }


def test_other_calls_are_counted_per_corp_and_api():
    """Other APIs have the base limits of the corp, each with its page and date."""
    charges = CHANNEL.limits(part({}, {}, kind="recall"), account())

    assert [charge.limit.amount for charge in charges] == [10_000, 150_000]
    assert all("90312" in charge.limit.source for charge in charges)


@pytest.mark.parametrize(
    ("made", "rule"),
    [
        (part(), (RepeatRule.DUPLICATE_CHECK, 14400)),
        (part(Text(content="a", duplicate_check=False).document()), (RepeatRule.HOLD, 14400)),
        (part(Raw(msgtype="brand_new", body={"brand_new": {}}).document()), (RepeatRule.HOLD, 0)),
        (part(card()), (RepeatRule.TASK_ID, 14400)),
        (part({}, {}, kind="recall"), (RepeatRule.HARMLESS, 0)),
        (part({}, {}, kind="upload"), (RepeatRule.HARMLESS, 0)),
        (part({}, {}, kind="update_card"), (RepeatRule.FRESH_CODE, 0)),
    ],
)
def test_repeat_rules(made, rule):
    """Each call's repeat is safe by what the vendor documents, or held."""
    assert rule == CHANNEL.repeat_rule(made.kind, made.message)


def test_text_on_the_wire():
    """The bytes are UTF-8 without escapes, the agentid an integer, the token in the query alone."""
    built = CHANNEL.request(
        part(text("你好\n"), {"users": ["a", "b"], "parties": ["12"], "tags": ["4"]}),
        account({"agentid": "1000007"}),
        Access("tok"),
        flagged=True,
    )

    assert built.method == "POST"
    assert built.path == "/cgi-bin/message/send"
    assert built.query == {"access_token": "tok"}
    assert built.deadline_s == 20.0
    assert "你好\\n".encode() in built.body
    assert b"tok" not in built.body
    assert "tok" not in repr(built)
    assert sent(built) == {
        "touser": "a|b",
        "toparty": "12",
        "totag": "4",
        "msgtype": "text",
        "agentid": 1000007,
        "text": {"content": "你好\n"},
        "enable_duplicate_check": 1,
        "duplicate_check_interval": 14400,
    }


def test_broadcast_on_the_wire():
    """Everyone is @all, and lists without entries are left out."""
    everyone = sent(CHANNEL.request(part(spec={"everyone": True}), account(), ACCESS, flagged=False))
    party = sent(CHANNEL.request(part(spec={"parties": ["1"]}), account(), ACCESS, flagged=False))

    assert everyone["touser"] == "@all"
    assert party.keys() & {"touser", "toparty", "totag"} == {"toparty"}


def test_equal_content_gives_equal_bytes():
    """The order in which a caller or a database keeps the fields changes neither bytes nor hash."""
    one = Raw(msgtype="markdown", body={"markdown": {"content": "a", "x": 1}, "z": 1}).document()
    two = Raw(msgtype="markdown", body={"z": 1, "markdown": {"x": 1, "content": "a"}}).document()

    assert (
        CHANNEL.request(part(one), account(), ACCESS, flagged=True).body
        == CHANNEL.request(part(two), account(), Access("u"), flagged=True).body
    )
    assert CHANNEL.body_hash(part(one), account()) == CHANNEL.body_hash(part(two), account())
    assert CHANNEL.body_hash(part(one), account()) != CHANNEL.body_hash(part(text()), account())


def test_media_ids_are_put_into_a_copy():
    """media_ids stand at their paths, lists included, and the stored document is untouched."""
    body = {"news": {"articles": [{"title": "t"}, {"title": "u", "thumb": None}]}}
    raw = Raw(msgtype="news", body=body).document()
    built = CHANNEL.request(
        part(raw, facts={"media": {"news.articles.1.thumb": "M"}}),
        account({"deadline_s": 5}),
        Access("t"),
        flagged=False,
    )
    image = part(Image().document(), facts={"media": {"image.media_id": "M"}})

    assert sent(built)["news"] == {"articles": [{"title": "t"}, {"title": "u", "thumb": "M"}]}
    assert built.deadline_s == 5.0
    assert None is body["news"]["articles"][1]["thumb"]
    assert sent(CHANNEL.request(image, account(), ACCESS, flagged=False))["image"] == {"media_id": "M"}


def test_own_task_id_on_the_wire():
    """The spec's task_id goes before the document's."""
    made = part(card(task_id="own"), {"users": ["a"], "task_id": "own_1"})

    assert sent(CHANNEL.request(made, account(), ACCESS, flagged=False))["template_card"]["task_id"] == "own_1"


def test_recall_on_the_wire():
    """A recall names the msgid alone."""
    built = CHANNEL.request(part({}, {"msgid": "M"}, kind="recall"), account(), Access(), flagged=False)

    assert built.path == "/cgi-bin/message/recall"
    assert built.query == {"access_token": ""}
    assert sent(built) == {"msgid": "M"}


@pytest.mark.parametrize(
    ("spec", "targets"),
    [
        ({}, {"atall": 1}),
        ({"users": ["a"], "parties": ["12"], "tags": ["4"]}, {"userids": ["a"], "partyids": [12], "tagids": [4]}),
    ],
)
def test_update_on_the_wire(spec, targets):
    """An update has lists with integers, or everyone of the original."""
    made = part(CardUpdate(replace_name="done").document(), spec, kind="update_card", facts={"response_code": "RC"})

    assert {"agentid": 1000007, "response_code": "RC", "button": {"replace_name": "done"}, **targets} == sent(
        CHANNEL.request(made, account(), ACCESS, flagged=False)
    )


def test_upload_on_the_wire():
    """An upload streams one part named media under a clean raw name, and has time by its size."""
    message = CHANNEL.upload_part(UPLOAD)
    made = part(message, {}, kind="upload", facts={"open": lambda: [b"abc"]})

    built = CHANNEL.request(made, account(), Access("tok"), flagged=False)

    assert message == {"type": "upload", "files": {"media": UPLOAD}}
    assert built.query == {"access_token": "tok", "type": "image"}
    assert (built.body.field_name, built.body.filename, built.body.size) == ("media", "a报表.png", 512 * 1024)
    assert list(built.body.open()) == [b"abc"]
    assert built.deadline_s == 22.0
    assert len(CHANNEL.body_hash(made, account())) == 64


def test_media_scope():
    """Accounts of one corp share media_ids."""
    assert CHANNEL.media_scope(account()) == CHANNEL.media_scope(account({"agentid": 5}))
    assert CHANNEL.media_scope(account()) != CHANNEL.media_scope(account({"corpid": "ww02"}))


def test_token_request():
    """gettoken carries corpid and secret in the query, which no repr shows."""
    built = CHANNEL.token_request(account(), "s3cret", 0)

    assert built.method == "GET"
    assert built.path == "/cgi-bin/gettoken"
    assert built.query == {"corpid": "ww01", "corpsecret": "s3cret"}
    assert built.deadline_s == 10.0
    assert "s3cret" not in repr(built)
