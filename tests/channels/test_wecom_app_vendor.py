"""Two readings of the vendor's pages meet: what the channel lets through, the simulator neither refuses nor cuts.

They share no code; each has tables of its own.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, event, example, given, settings, strategies as st
from wecom_app_messages import BODIES, CARDS, USER, bodies, maybe
from wecom_app_samples import CHANNEL, draft, part
from wecom_app_vendor import ACCOUNT, Vendor

from worker.channels.wecom_app import message_from_json
from worker.channels.wecom_app.changes import CardUpdate, ChangeChat, CreateChat
from worker.channels.wecom_app.messages import Raw
from worker.domain.content.recipient import AppChat, Recipients, To
from worker.domain.job import Draft
from worker.domain.outcome import Accepted

QUICK = settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
PEOPLE = st.lists(USER.map(str.lower), min_size=2, max_size=30, unique=True)
CHATID = st.from_regex(r"[0-9A-Za-z]{1,32}", fullmatch=True)
CLICKABLE = ["button_interaction", "vote_interaction", "multiple_interaction"]


@QUICK
@given(bodies(), PEOPLE, st.booleans())
def test_valid_messages_are_neither_refused_nor_cut(body: dict[str, Any], users: list[str], flagged: bool):
    """Whatever is valid by the tables is taken for everybody, and everybody sees it as it was asked for."""
    vendor = Vendor()
    document = message_from_json(body).document()

    (spec,) = CHANNEL.split(draft(document, To(users)))
    sent, outcome, reply = vendor.takes(part(document, spec), flagged=flagged)

    msgtype = body["msgtype"]
    assert (reply["errcode"], reply["errmsg"]) == (0, "ok")
    assert isinstance(outcome, Accepted)
    assert (reply["msgid"], None) == (outcome.receipt.msgid, outcome.receipt.warning)
    for user in users:
        (seen,) = vendor.seen(user)
        assert (reply["msgid"], msgtype, []) == (seen["msgid"], seen["msgtype"], seen["altered"])
        assert body.get("safe", 0) == seen["safe"]
        assert {**body[msgtype], **task_id(sent)} == seen["content"]
    assert vendor.violations() == []


def task_id(sent: dict[str, Any]) -> dict[str, str]:
    """The id a card went out with: the worker's own, or the caller's."""
    card = sent.get("template_card")
    return {"task_id": card["task_id"]} if card else {}


@st.composite
def chat_bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A valid body of a type that chats take: articles lead to a url, and safe alone stands beside it."""
    msgtype = draw(st.sampled_from([name for name in BODIES if name != "miniprogram_notice"]))
    content, beside = BODIES[msgtype]
    drawn = draw(content)
    if msgtype == "news":
        for article in drawn["articles"]:
            article.setdefault("url", "https://e.com/")
            article.pop("appid", None)
            article.pop("pagepath", None)
    safe = draw(maybe(st.sampled_from([0, 1]))) if "safe" in beside else None
    mentions = draw(maybe(st.lists(USER, max_size=3))) if msgtype == "text" else None
    drawn |= {} if mentions is None else {"mentioned_list": mentions}
    return {"msgtype": msgtype, msgtype: drawn, **({} if safe is None else {"safe": safe})}


@QUICK
@example({"msgtype": "text", "text": {"content": "9", "mentioned_list": []}}, ["a", "b"], "c1", None)
@given(chat_bodies(), PEOPLE, CHATID, maybe(st.one_of(st.text("群组a ", max_size=50), st.just("群" * 50))))
def test_valid_chats_take_valid_messages(body: dict[str, Any], users: list[str], chatid: str, name: str | None):
    """A chat is made as it was asked for, and its members see a message as it was sent."""
    vendor = Vendor()
    making = CreateChat(userlist=users, chatid=chatid, name=name, owner=users[-1])
    assert CHANNEL.check(draft(making.document(), Recipients(), kind="create_chat")) == []
    _, made, _ = vendor.takes(part(making.document(), {}, kind="create_chat"))
    document = message_from_json(body).document()
    asked = draft(document, AppChat(chatid), kind="send_chat")
    assert CHANNEL.check(asked) == []

    (spec,) = CHANNEL.split(asked)
    _, outcome, reply = vendor.takes(part(document, spec, kind="send_chat"))

    assert (Accepted, Accepted) == (type(made), type(outcome))
    assert reply == {"errcode": 0, "errmsg": "ok"}
    (chat,) = vendor.state.chats.to_json()
    assert (chatid, name or "", users, users[-1], []) == tuple(
        chat[one] for one in ("chatid", "name", "userlist", "owner", "altered")
    )
    sent = {field: value for field, value in body[body["msgtype"]].items() if value != []}
    for user in users:
        (seen,) = vendor.seen(user)
        assert (chatid, sent, []) == (seen["chatid"], seen["content"], seen["altered"])
        assert body.get("safe", 0) == seen["safe"]
    assert vendor.violations() == []


@QUICK
@given(PEOPLE, PEOPLE, st.data())
def test_valid_changes_of_chats_are_taken(users: list[str], others: list[str], data: st.DataObject):
    """Members come and go, and who is left is whom the chat then has."""
    vendor = Vendor()
    vendor.takes(part(CreateChat(userlist=users, chatid="c1").document(), {}, kind="create_chat"))
    joining = [one for one in others if one not in users]
    leaving = data.draw(st.lists(st.sampled_from(users[1:]), max_size=len(users) - 2, unique=True))
    changing = ChangeChat(chatid="c1", name="new", add_user_list=joining, del_user_list=leaving)

    assert CHANNEL.check(draft(changing.document(), Recipients(), kind="change_chat")) == []
    _, outcome, _ = vendor.takes(part(changing.document(), {}, kind="change_chat"))

    assert isinstance(outcome, Accepted)
    (chat,) = vendor.state.chats.to_json()
    assert ("new", [one for one in [*users, *joining] if one not in leaving]) == (chat["name"], chat["userlist"])


@st.composite
def changes(draw: st.DrawFn) -> dict[str, Any]:
    """A valid change of a card with buttons: its button's text, or another card with what an update can freeze."""
    if draw(st.booleans()):
        return {"button": {"replace_name": draw(st.text("批准ok", min_size=1, max_size=20))}}
    name = draw(st.sampled_from(list(CARDS)))
    card = {"card_type": name, **draw(CARDS[name])}
    card.pop("task_id", None)
    if name in CLICKABLE and draw(st.booleans()):
        card["replace_text"] = "已批准"
    if name == "vote_interaction" and draw(st.booleans()):
        card["checkbox"] = {**card["checkbox"], "disable": True}
    if name in ("vote_interaction", "multiple_interaction") and draw(st.booleans()):
        del card["submit_button"]
    return {"template_card": card}


@QUICK
@given(st.sampled_from(CLICKABLE), changes(), PEOPLE, st.booleans(), st.data())
def test_valid_updates_are_taken(
    card_type: str, change: dict[str, Any], users: list[str], everybody: bool, data: st.DataObject
):
    """Those who are named, or all, see the card as the update has it; the others see it as it was sent."""
    vendor = Vendor()
    card = message_from_json(
        {"msgtype": "template_card", "template_card": {"card_type": card_type, **data.draw(CARDS[card_type])}}
    ).document()
    _, _, reply = vendor.takes(part(card, {"users": users}))
    update = message_from_json(change)
    assert isinstance(update, CardUpdate)
    named = [] if everybody else users[: data.draw(st.integers(1, len(users)))]
    asked = draft(update.document(), To(named) if named else Recipients(), kind="update_card")
    assert CHANNEL.check(asked) == []

    (spec,) = CHANNEL.split(asked)
    facts = {"response_code": reply["response_code"]}
    _, outcome, answered = vendor.takes(part(update.document(), spec, kind="update_card", facts=facts))

    assert isinstance(outcome, Accepted)
    assert answered == {"errcode": 0, "errmsg": "ok", "invaliduser": []}
    wanted = change if "template_card" in change else change["button"]
    for user in users:
        (seen,) = vendor.seen(user)
        assert (wanted if everybody or user in named else None) == seen["update"]


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A valid body with up to three things done to it that may have broken it."""
    body = copy.deepcopy(draw(bodies()))
    content = body[body["msgtype"]]
    for _ in range(draw(st.integers(1, 3))):
        beside = [(body, name) for name in body if name not in ("msgtype", body["msgtype"])]
        damage(draw, *draw(st.sampled_from([*beside, *places(content, *content)] or [(body, body["msgtype"])])))
    return body


def places(tree: Any, *names: Any) -> Any:
    """Every place in a body below these names: the object or list that holds it, and its name or number."""
    for name in names:
        yield tree, name
        below = tree[name]
        inner = list(below) if isinstance(below, dict) else range(len(below)) if isinstance(below, list) else ()
        yield from places(below, *inner)


def damage(draw: st.DrawFn, holder: Any, name: Any) -> None:
    """Leave it out, change its type, make it empty, longer or more, or give it another number."""
    value = holder[name]
    if isinstance(value, list) and value:
        holder[name] = draw(st.sampled_from([[], value * 2, value * 12, value[:1]]))
    elif isinstance(value, str):
        holder[name] = draw(st.sampled_from(["", value * 2, value * 40, "字" * 43, "x" * 129, "x" * 2049, 7]))
    elif isinstance(value, bool | int | float):
        holder[name] = draw(st.sampled_from([-1, 0, 1, 2, 3, 4, 9, "1", 1.3, 2.25, True]))
    elif isinstance(holder, dict):
        del holder[name]


@QUICK
@given(damaged())
def test_what_passes_the_door_is_neither_refused_nor_cut(body: dict[str, Any]):
    """Also of bodies that may be wrong: either the door says so, or the vendor takes them as they are."""
    msgtype = body["msgtype"]
    raw = Raw(msgtype=msgtype, body={name: value for name, value in body.items() if name != "msgtype"}).document()
    asked = Draft("send", ACCOUNT, raw, To("lihua"))
    refused = CHANNEL.check(asked)
    event("refused at the door" if refused else "taken")
    if refused:
        return
    vendor = Vendor()

    (spec,) = CHANNEL.split(asked)
    _, _, reply = vendor.takes(part(raw, spec))

    assert (reply["errcode"], reply["errmsg"]) == (0, "ok"), body
    (seen,) = vendor.seen("lihua")
    assert seen["altered"] == [], body
