"""Bodies as other SDKs write them: what says nothing is left out, what says something is refused by its path."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest
import wecom_app_messages
import wecom_webhook_messages
from hypothesis import given, strategies as st

from worker.channels import wecom_app, wecom_external, wecom_webhook, youdu
from worker.channels.typed import VendorObject, rule_of
from worker.domain.content.recipient import Everyone
from worker.domain.errors import CheckFailed

CARD = {"card_type": "text_notice", "main_title": {"title": "t"}, "card_action": {"type": 1, "url": "https://a/"}}
ARTICLE = {"title": "t", "thumb_media_id": "m", "content": "c"}
PICTURE = {"base64": "aGk=", "md5": "49f68a5c8493ec2c0bf489821c21fc3b"}
LINK = {"title": "t", "url": "https://a/"}
CHECKBOX = {"question_key": "q", "option_list": [{"id": "a", "text": "b", "is_checked": False}]}
VOTE = {"card_type": "vote_interaction", "main_title": {"title": "t"}, "checkbox": CHECKBOX}
BUTTON = {"type": 1, "text": "t", "url": "https://a/"}
BUTTONS = {"card_type": "button_interaction", "main_title": {"title": "t"}}
POSTER = {"card_type": "news_notice", "card_image": {"url": "https://a/"}}
TEXTCARD = {"title": "t", "description": "d", "url": "https://a/"}

NEUTRAL: list[tuple[Any, dict[str, Any], dict[str, Any], str]] = [
    (wecom_app, {"msgtype": "textcard", "textcard": TEXTCARD}, {"safe": 0}, "safe"),
    (wecom_app, {"msgtype": "textcard", "textcard": TEXTCARD}, {"safe": "0"}, "safe"),
    (wecom_app, {"msgtype": "voice", "voice": {"media_id": "m"}}, {"safe": 0}, "safe"),
    (wecom_app, {"msgtype": "voice", "voice": {"media_id": "m"}}, {"enable_id_trans": False}, "enable_id_trans"),
    (wecom_app, {"msgtype": "news", "news": {"articles": [{"title": "t", "url": "https://a/"}]}}, {"safe": 0}, "safe"),
    (wecom_app, {"msgtype": "template_card", "template_card": CARD}, {"safe": 0}, "safe"),
    (
        wecom_app,
        {"msgtype": "mpnews", "mpnews": {"articles": [ARTICLE]}},
        {"mpnews": {"articles": [{**ARTICLE, "show_cover_pic": "0"}]}},
        "mpnews.articles[0].show_cover_pic",
    ),
    (
        wecom_app,
        {"msgtype": "video", "video": {"media_id": "m"}},
        {"video": {"media_id": "m", "thumb_media_id": None}},
        "video.thumb_media_id",
    ),
    (wecom_webhook, {"msgtype": "text", "text": {"content": "c"}}, {"safe": 0}, "safe"),
    (
        wecom_webhook,
        {"msgtype": "markdown", "markdown": {"content": "c"}},
        {"markdown": {"content": "c", "mentioned_list": []}},
        "markdown.mentioned_list",
    ),
    (
        wecom_webhook,
        {"msgtype": "template_card", "template_card": CARD},
        {"template_card": {**CARD, "task_id": ""}},
        "template_card.task_id",
    ),
    (
        wecom_app,
        {"response_code": "c", "template_card": {**BUTTONS, "button_list": [BUTTON]}},
        {"button": {"replace_name": ""}},
        "button",
    ),
    (
        wecom_app,
        {"response_code": "c", "button": {"replace_name": "done"}},
        {"template_card": {"card_type": "", "main_title": {"title": ""}}},
        "template_card",
    ),
    (wecom_webhook, {"msgtype": "text", "text": {"content": "c"}}, {"image": {"base64": "", "md5": ""}}, "image"),
    (
        wecom_webhook,
        {"msgtype": "text", "text": {"content": "c"}},
        {"template_card": {"card_type": "", "card_action": {"type": 0, "url": ""}, "jump_list": None}},
        "template_card",
    ),
    (wecom_external, {"text": {"content": "c"}}, {"msgtype": "text"}, "msgtype"),
    (wecom_external, {"text": {"content": "c"}}, {"link": None}, "link"),
    (
        youdu,
        {"msgType": "mail", "mail": {"action": "new", "subject": "s"}},
        {"mail": {"action": "new", "subject": "s", "time": 0}},
        "mail.time",
    ),
    (
        youdu,
        {"msgType": "mail", "mail": {"action": "unread", "unreadCount": 3}},
        {"mail": {"action": "unread", "unreadCount": 3, "fromUser": ""}},
        "mail.fromUser",
    ),
    (youdu, {"msgType": "text", "text": {"content": "c"}}, {"image": None}, "image"),
    (youdu, {"msgType": "exlink", "exlink": [LINK]}, {"text": None}, "text"),
]
"""A channel, a body, what an SDK has in it that is no field of the type and says nothing, and where it is found."""
EMPTY: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    (wecom_app, {"msgtype": "text", "text": {"content": "c"}}, {"text": {"content": "c", "mentioned_list": []}}),
    (wecom_app, {"msgtype": "news", "news": {"articles": [LINK]}}, {"news": {"articles": [{**LINK, "pagepath": ""}]}}),
    (wecom_app, {"msgtype": "template_card", "template_card": CARD}, {"template_card": {**CARD, "task_id": ""}}),
    (
        wecom_app,
        {"msgtype": "template_card", "template_card": VOTE},
        {"template_card": {**VOTE, "checkbox": {**CHECKBOX, "disable": False}}},
    ),
    (
        wecom_app,
        {"msgtype": "template_card", "template_card": {**BUTTONS, "button_list": [BUTTON]}},
        {"template_card": {**BUTTONS, "button_list": [{**BUTTON, "style": 0}]}},
    ),
    (
        wecom_app,
        {"msgtype": "template_card", "template_card": {**BUTTONS, "button_list": [BUTTON]}},
        {"template_card": {**BUTTONS, "button_list": [{**BUTTON, "key": ""}]}},
    ),
    (
        wecom_app,
        {"msgtype": "template_card", "template_card": {**CARD, **POSTER}},
        {"template_card": {**CARD, **POSTER, "card_image": {"url": "https://a/", "aspect_ratio": 0}}},
    ),
    (wecom_app, {"userlist": ["a", "b"], "name": "n"}, {"chatid": ""}),
    (wecom_app, {"chatid": "c1", "add_user_list": ["a"]}, {"name": ""}),
    (wecom_app, {"chatid": "c1", "name": "n"}, {"owner": ""}),
    (wecom_webhook, {"msgtype": "text", "text": {"content": "c"}}, {"post_id": ""}),
    (
        wecom_webhook,
        {"msgtype": "markdown", "markdown": {"content": "c"}},
        {"markdown": {"content": "c", "attachments": []}},
    ),
]
"""A channel, a body, and an own field of its type with a value that says nothing."""


@pytest.mark.parametrize(("channel", "body", "more", "path"), NEUTRAL)
def test_what_says_nothing_is_left_out_with_a_warning(
    channel: Any, body: dict[str, Any], more: dict[str, Any], path: str
):
    """The message is the one without it, and the body that was given is as it was."""
    given = {**body, **more}
    before = repr(given)

    with pytest.warns(UserWarning, match=rf"^{re.escape(path)}: has no effect here") as told:
        read = channel.message_from_json(given)

    assert channel.message_from_json(body) == read
    assert not isinstance(read, channel.Raw)
    assert before == repr(given)
    assert [__file__] == [one.filename for one in told]


@pytest.mark.parametrize(("channel", "body", "more"), EMPTY)
def test_what_is_empty_in_a_field_of_the_type_is_left_out_in_silence(
    channel: Any, body: dict[str, Any], more: dict[str, Any]
):
    """It asks for nothing, as where it does not stand."""
    assert channel.message_from_json(body) == channel.message_from_json({**body, **more})


EMPTY_VALUES: dict[Any, Any] = {str: "", bool: False, int: 0, float: 0}


def with_empty_fields(message: VendorObject, content: dict[str, Any]) -> dict[str, Any]:
    """The content of a message with what typed clients write into each of its fields that may say nothing."""
    filled = dict(content)
    for name, field in type(message).model_fields.items():
        value = getattr(message, name)
        if value is None and rule_of(type(message), name).neutral and name not in message.ENVELOPE:
            (kind, _) = get_args(field.annotation)
            filled[name] = EMPTY_VALUES.get(kind, [])
        elif isinstance(value, VendorObject):
            filled[name] = with_empty_fields(value, content[name])
        elif isinstance(value, list):
            pairs = zip(value, content[name], strict=True)
            filled[name] = [
                with_empty_fields(entry, given) if isinstance(entry, VendorObject) else given for entry, given in pairs
            ]
    return filled


@given(
    st.one_of(
        st.tuples(st.just(wecom_app), wecom_app_messages.bodies()),
        st.tuples(st.just(wecom_webhook), wecom_webhook_messages.bodies()),
    )
)
def test_empty_values_in_all_fields_that_may_be_empty_change_no_message(drawn: tuple[Any, dict[str, Any]]):
    """Whatever the type: clients with a struct write every field."""
    channel, body = drawn
    message = channel.message_from_json(body)
    filled = with_empty_fields(message, body[body["msgtype"]])

    assert message == channel.message_from_json({**body, body["msgtype"]: filled})


FOREIGN: list[tuple[Any, dict[str, Any], str]] = [
    (wecom_app, {"msgtype": "textcard", "textcard": TEXTCARD, "safe": 1}, "safe"),
    (wecom_app, {"msgtype": "template_card", "template_card": CARD, "safe": "1"}, "safe"),
    (wecom_app, {"msgtype": "template_card", "template_card": CARD, "main_title": {"title": "u"}}, "main_title"),
    (wecom_app, {"msgtype": "template_card", "template_card": {**CARD, "task_id": "a"}, "task_id": "b"}, "task_id"),
    (wecom_webhook, {"msgtype": "template_card", "template_card": CARD, "main_title": {"title": "u"}}, "main_title"),
    (wecom_app, {"msgtype": "image", "image": {"media_id": "m"}, "enable_id_trans": 1}, "enable_id_trans"),
    (wecom_app, {"msgtype": "video", "video": {"media_id": "m", "thumb_media_id": "t"}}, "video.thumb_media_id"),
    (wecom_app, {"msgtype": "mpnews", "mpnews": {"media_id": "m"}}, "mpnews.media_id"),
    (
        wecom_app,
        {"msgtype": "mpnews", "mpnews": {"articles": [ARTICLE, {**ARTICLE, "show_cover_pic": 1}]}},
        "mpnews.articles[1].show_cover_pic",
    ),
    (
        wecom_app,
        {"msgtype": "news", "news": {"articles": [{"title": "t", "url": "https://a/", "btntxt": "more"}]}},
        "news.articles[0].btntxt",
    ),
    (
        wecom_webhook,
        {"msgtype": "text", "text": {"content": "c"}, "enable_duplicate_check": 1},
        "enable_duplicate_check",
    ),
    (
        wecom_webhook,
        {"msgtype": "markdown", "markdown": {"content": "c", "mentioned_list": ["@all"]}},
        "markdown.mentioned_list",
    ),
    (wecom_webhook, {"msgtype": "text", "text": {"content": "c"}, "markdown": {"content": "d"}}, "markdown"),
    (wecom_webhook, {"msgtype": "image", "image": {"media_id": "m"}}, "image.media_id"),
    (wecom_webhook, {"msgtype": "image", "image": {**PICTURE, "colour": 1}}, "image.colour"),
    (wecom_app, {"response_code": "c", "button": {"replace_name": "done", "colour": 1}}, "button.colour"),
    (wecom_app, {"response_code": "c", "button": "done", "template_card": CARD}, "update.button"),
    (wecom_external, {"link": {"title": "t", "url": "https://a/"}}, "link"),
    (wecom_external, {"attachments": [{"msgtype": "link", "link": LINK, "desc": "d"}]}, "attachments[0].desc"),
    (youdu, {"msgType": "mpNews", "mpNews": [{"title": "t"}]}, "mpNews"),
    (youdu, {"msgType": "sysMsg", "sysMsg": {}, "toAll": {"onlyOnline": True}, "colour": 1}, "colour"),
    (youdu, {"msgType": "mpnews", "mpnews": [{"title": "t", "show_front": 1}]}, "mpnews.items[0].show_front"),
    (youdu, {"toUser": "alice", "popWindow": {"tip": "t"}, "duration": -1}, "duration"),
]


@pytest.mark.parametrize(("channel", "body", "path"), FOREIGN)
def test_a_foreign_field_that_says_something_is_refused(channel: Any, body: dict[str, Any], path: str):
    """At its path."""
    with pytest.raises(CheckFailed) as refused:
        channel.message_from_json(body)

    assert path in [problem.field for problem in refused.value.problems]


def test_an_attachment_has_nothing_beside_its_own_object():
    """What stands there would be lost; a null, which clients with typed structs write, says nothing."""
    entry = {"msgtype": "link", "link": LINK}

    assert [entry] == wecom_external.message_from_json({"attachments": [{**entry, "image": None}]}).document()["body"][
        "attachments"
    ]
    assert [wecom_external.Link(**LINK)] == wecom_external.Campaign(attachments=[{**entry, "image": None}]).attachments
    with pytest.raises(CheckFailed, match="desc: link has no such field here"):
        wecom_external.Campaign(attachments=[{**entry, "desc": "d"}])


def test_an_empty_list_of_those_who_see_a_message_is_not_left_out():
    """Without it everybody in the group would see what nobody was to see, so the check refuses it."""
    read = wecom_webhook.message_from_json({"msgtype": "text", "text": {"content": "c"}, "visible_to_user": ""})

    assert read.document()["body"]["visible_to_user"] == ""


def test_a_field_that_a_type_lists_is_read():
    """Only others are left out, and nothing of types we do not model."""
    text = wecom_app.message_from_json({"msgtype": "text", "text": {"content": "c"}, "safe": 0})
    other = wecom_app.message_from_json({"msgtype": "brand_new", "brand_new": {}, "safe": 0}, raw=True)

    assert text.document()["body"]["safe"] == 0
    assert other.document()["body"] == {"brand_new": {}, "safe": 0}


@pytest.mark.parametrize("off", [0, "0", False])
def test_a_duplicate_check_that_is_off_in_any_spelling_is_off(off: Any):
    """SDKs write switches as numbers, texts and booleans."""
    read = wecom_app.message_from_json({"msgtype": "text", "text": {"content": "c"}, "enable_duplicate_check": off})

    assert not read.document()["options"]["duplicate_check"]


@pytest.mark.parametrize("nothing", [0, "0", "", None])
def test_an_interval_that_says_nothing_is_as_if_it_were_not_there(nothing: Any):
    """Clients with typed structs write `"duplicate_check_interval": 0` beside every message."""
    body = {"msgtype": "text", "text": {"content": "c"}, "enable_duplicate_check": 0}

    read = wecom_app.message_from_json({**body, "duplicate_check_interval": nothing})

    assert wecom_app.message_from_json(body) == read


@pytest.mark.parametrize("everyone", [1, "1", True])
def test_an_update_for_all_is_for_all_whoever_is_named_beside_it(everyone: Any):
    """The vendor's page has atall for every recipient of the original."""
    body = {"userids": ["zhangsan"], "response_code": "c", "button": {"replace_name": "done"}}

    assert wecom_app.recipients_from_json({**body, "atall": 0}).users == ("zhangsan",)
    assert Everyone() == wecom_app.recipients_from_json({**body, "atall": everyone})


@pytest.mark.parametrize("nobody", [{"atall": 0}, {"userids": []}, {"userids": [], "partyids": [], "atall": 0}])
def test_an_update_for_nobody_changes_nobody_s_card(nobody: dict[str, Any]):
    """The vendor refuses it (82101); a list that came out empty must not grey the card of everyone."""
    body = {"response_code": "c", "button": {"replace_name": "done"}}

    assert Everyone() == wecom_app.recipients_from_json(body)
    with pytest.raises(CheckFailed, match="82101"):
        wecom_app.recipients_from_json({**body, **nobody})


SYSMSG: dict[str, Any] = {"msgType": "sysMsg", "sysMsg": {"title": "t", "msg": [{"text": {"content": "c"}}]}}


@pytest.mark.parametrize("nobody", [None, False])
def test_a_message_whose_toall_is_empty_is_for_those_it_names(nobody: Any):
    """Clients with typed structs write `"toAll": null` beside the users of every system message."""
    assert youdu.recipients_from_json({"toUser": "alice", "toAll": nobody, **SYSMSG}).users == ("alice",)


@pytest.mark.parametrize("flag", ["onlyOnline", "onliyOnline"])
@pytest.mark.parametrize("named", [{"toUser": "alice"}, {"toDept": "5"}])
def test_who_is_named_beside_all_who_are_online_may_get_nothing(named: dict[str, str], flag: str):
    """The page's own sample names members and departments, too; those who are offline are not among all."""
    with pytest.warns(UserWarning, match="^toUser, toDept: left out beside toAll") as told:
        assert Everyone() == youdu.recipients_from_json({**named, "toAll": {flag: True}, **SYSMSG})

    assert [__file__] == [one.filename for one in told]
    assert Everyone() == youdu.recipients_from_json({**named, "toAll": {flag: False}, **SYSMSG})
    assert Everyone() == youdu.recipients_from_json({"toUser": "", "toAll": {flag: True}, **SYSMSG})


def test_the_flag_of_who_is_online_is_read_beside_the_nulls_of_typed_clients():
    """Clients with a struct of all types write `"text": null`; without the flag, those offline would get it too."""
    body = {"toAll": {"onlyOnline": True}, **SYSMSG}

    with pytest.warns(UserWarning, match="^text: has no effect here"):
        read = youdu.message_from_json({**body, "text": None})

    assert youdu.message_from_json(body) == read
    assert read.document()["options"] == {"onlyOnline": True}


@pytest.mark.parametrize("beside", [{}, {"toUser": "alice"}, {"toDept": "5"}])
def test_members_named_by_gid_are_not_left_out_in_silence(beside: dict[str, Any]):
    """The vendor's Java SDK writes `toGid`, which the worker does not send; what else it names may be only some."""
    body = {"msgType": "exlink", "exlink": [], **beside}

    youdu.recipients_from_json({**body, "toGid": ""})
    with pytest.raises(CheckFailed, match="toGid"):
        youdu.recipients_from_json({**body, "toGid": "1|2"})


def test_only_the_object_of_a_system_message_makes_a_broadcast():
    """Any other type would go to the whole organisation, though the server reads toUser alone."""
    text = {"msgType": "text", "text": {"content": "c"}}

    assert Everyone() == youdu.recipients_from_json({"toAll": {"onlyOnline": True}, **SYSMSG})
    for body in ({"toAll": {"onlyOnline": False}, **text}, {"toAll": True, **SYSMSG}):
        with pytest.raises(CheckFailed, match="toAll"):
            youdu.recipients_from_json({"toUser": "alice", **body})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"chat_type": "group", "chat_id_list": ["wr1"]}, "sender"),
        ({"chat_type": "group", "sender": "lihua", "external_userid": ["wm1"]}, "external_userid"),
        ({"sender": "lihua", "chat_id_list": ["wr1"]}, "chat_id_list"),
        ({"sender": "lihua", "chat_type": "Group", "chat_id_list": ["wr1"]}, "chat_type"),
    ],
)
def test_a_group_send_is_for_nobody_but_those_it_names(body: dict[str, Any], field: str):
    """Groups are no customers, and a list that is not read leaves the sender alone: that is for all of theirs."""
    with pytest.raises(CheckFailed) as refused:
        wecom_external.recipients_from_json({**body, "text": {"content": "c"}})

    assert [field] == [problem.field for problem in refused.value.problems]


@pytest.mark.parametrize(
    ("body", "field"),
    [({"sender": "lihua"}, "external_userid"), ({"sender": "lihua", "chat_type": "group"}, "chat_id_list")],
)
def test_a_group_send_to_an_empty_list_is_for_nobody(body: dict[str, Any], field: str):
    """A list that came out empty must not ask a member to write to all of theirs, as the sender alone does."""
    assert wecom_external.recipients_from_json(body).everyone
    assert wecom_external.recipients_from_json({**body, field: None}).everyone
    for empty in ([], [""]):
        assert not wecom_external.recipients_from_json({**body, field: empty})


def test_an_empty_list_beside_a_tag_filter_is_no_list():
    """Customers with these tags are named by the filter, which the vendor reads only without ids."""
    body = {"sender": "lihua", "tag_filter": {"group_list": [{"tag_list": ["et1"]}]}}

    read = wecom_external.recipients_from_json
    assert read(body) == read({**body, "external_userid": []})
