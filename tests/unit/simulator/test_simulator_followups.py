"""Recalls and card updates."""

from typing import Any

import pytest

CARD_B = {"card_type": "text_notice", "main_title": {"title": "done"}, "card_action": {"type": 1, "url": "https://x"}}
FREEZE = {"button": {"replace_name": "done"}}


def test_recall(vendor: Any, text: Any) -> None:
    """A recalled message stays in the inbox, flagged, for everybody; recalling twice is 0 by default."""
    msgid = vendor.send(text(to="chenmo|lihua"))["msgid"]

    assert [vendor.recall(msgid), vendor.recall(msgid)] == [0, 0]
    assert [vendor.inbox(user)[0]["state"] for user in ("chenmo", "lihua")] == ["recalled"] * 2


def test_recall_refusals(vendor: Any, text: Any) -> None:
    """Unknown msgids, other apps' and old ones are refused."""
    msgid = vendor.send(text())["msgid"]
    vendor.settings(recall={"twice_code": 40063, "unknown_code": 40063, "window_s": 3600})

    assert vendor.recall("unknown") == 40063
    assert vendor.recall(msgid, token=vendor.token("ww1", "other")) == 40058
    vendor.advance(3601)
    assert vendor.recall(msgid) == 42052
    vendor.advance(-3601)
    assert [vendor.recall(msgid), vendor.recall(msgid)] == [0, 40063]


def test_freeze_a_button(vendor: Any, card: Any) -> None:
    """Form A shows the new name to those named; others come back in an array, lower-cased."""
    code = vendor.send(card(to="chenmo|lihua"))["response_code"]

    reply = vendor.update({"userids": ["ChenMo", "Ghost", "Stranger"], "response_code": code, **FREEZE})

    assert (reply["errcode"], reply["invaliduser"]) == (0, ["ghost", "stranger"])
    assert vendor.inbox("chenmo")[0]["update"] == {"replace_name": "done"}
    assert vendor.inbox("lihua")[0]["update"] is None


def test_replace_a_card_for_all(vendor: Any, card: Any) -> None:
    """Form B replaces the card for every recipient, and the code is spent."""
    code = vendor.send({**card(), "toparty": "12"})["response_code"]
    body = {"atall": 1, "response_code": code, "template_card": CARD_B}

    codes = [vendor.update(body)["errcode"] for _ in range(2)]

    assert codes == [0, 60140]
    assert vendor.inbox("p12u1")[0]["update"] == {"template_card": CARD_B}


def test_update_by_party_and_tag(vendor: Any, card: Any) -> None:
    """Parties and tags name their members."""
    body = {**card(to=""), "toparty": "12", "totag": "4"}
    code = vendor.send(body)["response_code"]

    vendor.update({"partyids": [12], "tagids": [4], "response_code": code, **FREEZE})

    assert all(vendor.inbox(user)[0]["update"] for user in ("p12u1", "t4u1"))


@pytest.mark.parametrize(
    ("settings", "body", "code"),
    [
        ({}, FREEZE, 82101),
        ({}, {"userids": ["stranger"], **FREEZE}, 82102),
        ({"outside_code": 0}, {"userids": ["stranger"], **FREEZE}, 0),
        ({}, {"userids": ["chenmo"]}, 40058),
        ({}, {"userids": ["chenmo"], "button": {}}, 40058),
        ({}, {"userids": ["chenmo"], "template_card": {**CARD_B, "card_action": {}}}, 42045),
        ({}, {"userids": ["u"] * 1001, **FREEZE}, 40032),
        ({}, {"partyids": [1] * 101, **FREEZE}, 82002),
        ({"atall_with_lists_code": 40058}, {"atall": 1, "userids": ["chenmo"], **FREEZE}, 40058),
    ],
)
@pytest.mark.parametrize("consumed", [False, True])
def test_update_refusals(
    vendor: Any, card: Any, settings: dict[str, Any], body: dict[str, Any], code: int, consumed: bool
) -> None:
    """A refused update has an invaliduser array; whether it spends the code is a setting."""
    vendor.settings(card={**settings, "consumed_on_error": consumed})
    response_code = vendor.send(card())["response_code"]

    reply = vendor.update({"response_code": response_code, **body})
    again = vendor.update({"atall": 1, "response_code": response_code, **FREEZE})

    assert code == reply["errcode"]
    assert isinstance(reply["invaliduser"], list)
    assert (60140 if consumed or not code else 0) == again["errcode"]


def test_codes_that_are_no_good(vendor: Any, card: Any, text: Any) -> None:
    """Unknown codes and those past 72 h are 60140, another app's 42015; a missing agentid is 41011."""
    reply = vendor.send(card())
    body = {"atall": 1, "response_code": reply["response_code"], **FREEZE}

    assert vendor.update({**body, "response_code": "RC-unknown"})["errcode"] == 60140
    assert vendor.update({**body, "agentid": None})["errcode"] == 41011
    assert vendor.update(body, token=vendor.token("ww1", "other"))["errcode"] == 42015
    vendor.settings(card={"code_lifetime_s": 60, "recalled_code": 40058})
    vendor.recall(reply["msgid"])
    assert vendor.update(body)["errcode"] == 40058
    vendor.advance(61)
    assert vendor.update(body)["errcode"] == 60140


def test_a_menu_card_can_be_replaced_but_not_frozen(vendor: Any) -> None:
    """A text_notice with a menu has a response_code, good for form B only."""
    menu = {"action_list": [{"text": "t", "key": "k"}]}
    body = {"touser": "chenmo", "msgtype": "template_card", "agentid": 1}
    code = vendor.send({**body, "template_card": {**CARD_B, "action_menu": menu, "task_id": "t"}})["response_code"]

    assert vendor.update({"atall": 1, "response_code": code, **FREEZE})["errcode"] == 42017
    assert vendor.update({"atall": 1, "response_code": code, "template_card": CARD_B})["errcode"] == 0


def test_an_updated_vote_needs_no_submit_button(vendor: Any, card: Any) -> None:
    """The submit button is optional in an update, though not in a send."""
    box = {"question_key": "q", "disable": True, "option_list": [{"id": "a", "text": "A", "is_checked": True}]}
    vote = {"card_type": "vote_interaction", "main_title": {"title": "t"}, "checkbox": box, "replace_text": "closed"}
    code = vendor.send(card())["response_code"]

    assert vendor.update({"atall": 1, "response_code": code, "template_card": vote})["errcode"] == 0


def test_every_type_can_replace_a_card(vendor: Any, card: Any) -> None:
    """Whatever the original was; what is shown is the update."""
    link, option = {"type": 1, "url": "https://x"}, {"id": "a", "text": "A"}
    title = {"main_title": {"title": "t"}}
    box = {"question_key": "q", "option_list": [{**option, "is_checked": True}], "disable": True}
    replacements = [
        {"card_type": "text_notice", **title, "card_action": link},
        {"card_type": "news_notice", **title, "card_action": link, "card_image": {"url": "https://x"}},
        {"card_type": "button_interaction", **title, "button_list": [{"text": "y", "key": "k"}], "replace_text": "ok"},
        {"card_type": "vote_interaction", **title, "checkbox": box},
        {
            "card_type": "multiple_interaction",
            **title,
            "select_list": [{"question_key": "q", "option_list": [option], "disable": True}],
            "submit_button": {"text": "s", "key": "k"},
        },
    ]
    for number, replacement in enumerate(replacements):
        code = vendor.send(card(task_id=f"t{number}"))["response_code"]
        body = {"userids": ["chenmo"], "response_code": code, "template_card": replacement}

        assert vendor.update(body)["errcode"] == 0
        assert {"template_card": replacement} == vendor.inbox("chenmo")[-1]["update"]


def test_updates_translate_ids_where_asked_for(vendor: Any, card: Any) -> None:
    """Only with the flag."""
    words, shown = {"title": "$userName=ann$"}, {"title": "name of ann"}
    for flag, title in ((0, words), (1, shown)):
        code = vendor.send(card(task_id=f"t{flag}"))["response_code"]
        body = {"response_code": code, "enable_id_trans": flag, "template_card": {**CARD_B, "main_title": words}}

        assert vendor.update({"atall": 1, **body})["errcode"] == 0
        assert title == vendor.inbox("chenmo")[-1]["update"]["template_card"]["main_title"]


def test_an_update_with_values_of_a_wrong_type(vendor: Any, card: Any) -> None:
    """Ids of a wrong type are read with the warning; a text instead of a list is not read at all."""
    body = {**card(to="chenmo"), "toparty": "12"}
    first = vendor.send(body)["response_code"]

    warned = vendor.update({"partyids": ["12"], "response_code": first, **FREEZE})
    second = vendor.send({**body, "template_card": {**body["template_card"], "task_id": "t2"}})["response_code"]
    refused = vendor.update({"userids": "chenmo", "response_code": second, **FREEZE})

    assert (warned["errcode"], warned["errmsg"]) == (0, "ok. Warning: wrong json format. ")
    assert vendor.inbox("p12u1")[0]["update"]
    assert refused["errcode"] == 82101
    assert refused["errmsg"].startswith("Warning: wrong json format. ")


def test_an_app_that_lost_its_callback_cannot_update(vendor: Any, card: Any) -> None:
    """Updates need the callback URL as the card did."""
    app = {"corpid": "wwA", "secret": "s", "agentid": 1}
    vendor.settings(apps=[app])
    token = vendor.token("wwA", "s")
    code = vendor.send(card(), token=token)["response_code"]
    vendor.settings(apps=[{**app, "callback": False}])

    assert vendor.update({"atall": 1, "response_code": code, **FREEZE}, token=token)["errcode"] == 43012


def test_control_ends_codes_and_msgids(vendor: Any, text: Any, card: Any) -> None:
    """A code or a msgid can end at once, one or all, while the clock stays."""
    msgids = [vendor.send(text(str(n)))["msgid"] for n in range(2)]
    code = vendor.send(card())["response_code"]

    ended = vendor.control("POST", "expire", {"msgid": msgids[0], "response_code": "all"})

    assert ended == {"media_ids": 0, "response_codes": 1, "msgids": 1}
    assert [vendor.recall(msgid) for msgid in msgids] == [42052, 0]
    assert vendor.update({"atall": 1, "response_code": code, **FREEZE})["errcode"] == 60140
