"""Two readings of the vendor's pages meet: what the channel lets through, the simulated webhooks take as it is.

They share no code; each has tables of its own.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import HealthCheck, event, given, settings, strategies as st
from test_wecom_app_vendor import damage, places
from wecom_webhook_messages import BODIES, CARDS, CHAT, bodies
from wecom_webhook_samples import ACCESS, CHANNEL, account, document, part, reply
from wecom_webhook_vendor import PUSH, ROBOT, Vendor

from worker.channels.wecom_webhook import Raw, message_from_json
from worker.channels.wecom_webhook.check import GROUPS_ALONE
from worker.channels.wecom_webhook.messages import CARD_CLASSES, CLASSES
from worker.domain.account import Account
from worker.domain.content.message import Message
from worker.domain.content.recipient import Chats, Everyone, Recipients
from worker.domain.job import Draft
from worker.domain.outcome import Accepted, Parked, Progress, Rejected, Retry, StaleToken, Unknown, Wait
from worker.domain.state import PartState
from worker.reporting.recipient_status import RecipientStatus, recipients_by_status

QUICK = settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
AUDIENCES = st.sampled_from(["groups", "blackboards", "all"])
PLACES = st.one_of(st.lists(CHAT, min_size=1, max_size=3, unique_by=str.lower).map(lambda ids: Chats(*ids)))


def read(message: Message) -> dict[str, Any]:
    """What resolve finds of its files."""
    return {"inline": {path: b"".join(file.chunks()) for path, (_, file) in message.files().items()}}


def test_every_type_is_tried() -> None:
    """The generators know what the channel knows."""
    assert set(CLASSES) == set(BODIES)
    assert set(CARD_CLASSES) == set(CARDS)


@QUICK
@given(bodies(), PLACES)
def test_valid_messages_are_neither_refused_nor_cut(body: dict[str, Any], to: Recipients) -> None:
    """Every chat shows it once, as it was asked for."""
    vendor, message = Vendor(), message_from_json(body)
    stored = document(message)
    asked = Draft("send", PUSH, stored, to)
    assert CHANNEL.check(asked) == []
    CHANNEL.warnings(asked)

    for n, spec in enumerate(CHANNEL.split(asked)):
        sent, outcome, answer = vendor.takes(part(stored, spec, n=n, facts=read(message)))
        assert answer == {"errcode": 0, "errmsg": "ok"}
        assert isinstance(outcome, Accepted)
        assert outcome.receipt.warning is None
        assert {"chatid", "msgtype", body["msgtype"]} == sent.keys()

    assert set(to.chats) == set(vendor.shown())
    for chat, posts in vendor.shown().items():
        (post,) = posts
        assert (chat, body["msgtype"], []) == (post["chat"], post["msgtype"], post["altered"])
        assert looks(body[body["msgtype"]]) == looks(post["content"])


def looks(content: dict[str, Any]) -> dict[str, Any]:
    """What people see: of a picture its hash, of a button not the id of its row."""
    shown = {name: value for name, value in content.items() if name not in ("base64", "size")}
    rows = [{**one, "callback_id": "x"} for one in shown.get("attachments", ())]
    return {**shown, "attachments": rows} if rows else shown


@QUICK
@given(bodies(), AUDIENCES)
def test_broadcasts_reach_whom_they_name(body: dict[str, Any], audience: str) -> None:
    """Either the door says that the type does not reach them, or all of them show it."""
    vendor, message = Vendor(), message_from_json(body)
    asked = Draft("send", PUSH, document(message), Everyone(audience))
    wanted = {"groups": {"wr1", "wr2", "wr3"}, "blackboards": {"bb1"}}
    if body["msgtype"] in GROUPS_ALONE:
        wanted["all"] = wanted["groups"]  # by the page
    if CHANNEL.check(asked):
        event("refused at the door")
        return

    (spec,) = CHANNEL.split(asked)
    _, outcome, _ = vendor.takes(part(document(message), spec, facts=read(message)))

    assert isinstance(outcome, Accepted)
    assert (wanted.get(audience) or {"wr1", "wr2", "wr3", "bb1"}) == set(vendor.shown())


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A valid body with up to three things done to it that may have broken it."""
    body = copy.deepcopy(draw(bodies().filter(lambda made: made["msgtype"] != "image")))
    content = body[body["msgtype"]]
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(content, *content))
        if found:
            damage(draw, *draw(st.sampled_from(found)))
    return body


@QUICK
@given(damaged(), st.sampled_from([PUSH, ROBOT]))
def test_what_passes_the_door_is_neither_refused_nor_cut(body: dict[str, Any], of: Account) -> None:
    """Also of bodies that may be wrong, in both editions: the door says so, or the vendor takes them as they are."""
    msgtype = body["msgtype"]
    raw = Raw(msgtype=msgtype, body={name: value for name, value in body.items() if name != "msgtype"}).document()
    asked = Draft("send", of, raw, Chats("wr1") if of is PUSH else Recipients())
    refused = CHANNEL.check(asked)
    event("refused at the door" if refused else "taken")
    if refused:
        return
    if msgtype == "template_card" and body["template_card"].get("card_type") not in CARDS:
        return  # what message push has besides is not published: the vendor will say
    vendor = Vendor(of)

    (spec,) = CHANNEL.split(asked)
    _, _, answer = vendor.takes(part(raw, spec))

    assert (answer["errcode"], answer["errmsg"]) == (0, "ok"), body
    (posts,) = vendor.shown().values()
    assert posts[0]["altered"] == [], body


# -- any answer -------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 10**20), st.floats(allow_nan=True), st.text(max_size=8)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
CODES = st.one_of(
    st.sampled_from([0, -1, 45009, 45033, 93000, 93001, 93004, 93005, 93006, 93008, 40007, 40001]),
    st.integers(-5, 400_000),
    JSON,
)
ANSWERS = st.one_of(
    st.binary(max_size=60),
    JSON.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"errcode": CODES, "errmsg": st.one_of(st.text(max_size=60), JSON)}, optional={"media_id": JSON, "msgid": JSON}
    ).map(lambda value: json.dumps(value).encode()),
)
CLEAR = (Accepted, Rejected, Retry, Wait, Progress, Parked, Unknown)


@QUICK
@given(ANSWERS, st.sampled_from([200, 200, 200, 404, 429, 500, 503]), st.booleans(), st.booleans())
def test_any_answer_has_one_clear_meaning(answer: bytes, status: int, in_doubt: bool, upload: bool) -> None:
    """Never an exception, never a token asked for; a chat is accepted, refused, open or in doubt, and counted once."""
    to = Chats("wr1")
    kind = "upload" if upload else "send"
    made = part({"type": "upload", "files": {"media": {"upload_type": "file"}}} if upload else None, kind=kind)
    made = part(made.message, {} if upload else to.to_json(), kind=kind, in_doubt=in_doubt)

    verdict = CHANNEL.outcome(made, account(), reply(answer, status), ACCESS)

    assert isinstance(verdict.outcome, CLEAR)
    assert not isinstance(verdict.outcome, StaleToken)
    refused = [
        {"part_id": made.id, "kind": one.kind, "recipient_key": one.recipient.lower()}
        for one in getattr(verdict.outcome, "refusals", ())
    ]
    state = PartState.ACCEPTED if isinstance(verdict.outcome, Accepted) else PartState.REJECTED
    row = {"id": made.id, "spec": json.dumps(made.spec), "state": int(state), "doubts": 0, "first_marked_at": 1}
    found = recipients_by_status(to, False, [row], refused)
    assert sum(len(ids) for ids in found.values()) == 1
    assert not refused or found[RecipientStatus.REFUSED] == ("wr1",)
