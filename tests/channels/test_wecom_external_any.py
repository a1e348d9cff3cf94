"""Promises that hold for every answer and every campaign, tried on random ones, with the simulated vendor and without.

Two readings of the vendor's pages meet: what the channel lets through, the simulator takes. They share no table.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import HealthCheck, event, given, settings, strategies as st
from wecom_external_messages import bodies
from wecom_external_samples import CHANNEL, draft, outcome, part
from wecom_external_vendor import Vendor

from worker.channels.wecom_external import message_from_json, message_to_json
from worker.channels.wecom_external.messages import Raw
from worker.domain.content.recipient import CustomerGroups, Customers
from worker.domain.outcome import Accepted, Partial, Rejected
from worker.domain.state import PartState
from worker.reporting.recipient_status import RecipientStatus, recipients_by_status

QUICK = settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
IDS = st.lists(st.from_regex(r"w[mr][0-9A-Za-z_-]{1,30}", fullmatch=True), min_size=1, max_size=20, unique_by=str.lower)


@QUICK
@given(bodies(), IDS, st.booleans())
def test_valid_campaigns_are_taken(body: dict[str, Any], ids: list[str], groups: bool):
    """Whatever is valid by the tables passes the door, is taken for everybody, and is told as it was asked for."""
    if groups:
        body.pop("allow_select", None)
    vendor, message = Vendor(), message_from_json(body)
    asked = draft(message.document(), (CustomerGroups if groups else Customers)({"lihua": ids}))
    assert CHANNEL.check(asked) == []
    CHANNEL.warnings(asked)

    (spec,) = CHANNEL.split(asked)
    sent, found, reply = vendor.takes(part(message.document(), spec))

    assert (reply["errcode"], reply["errmsg"], reply["fail_list"]) == (0, "ok", [])
    assert isinstance(found, Accepted)
    assert None is found.receipt.warning
    (made,) = vendor.tasks()
    assert reply["msgid"] == made["msgid"]
    assert ids == list(made["members"]["lihua"]["results"])
    assert body.get("text") == made.get("text")
    assert body == {name: sent[name] for name in body}
    assert message == message_from_json(json.dumps(message_to_json(message)))


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    """A valid body with up to three things done to it that may have broken it."""
    body = copy.deepcopy(draw(bodies()))
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(body))
        if not found:
            break
        holder, name = draw(st.sampled_from(found))
        value = holder[name]
        if isinstance(value, list) and value:
            holder[name] = draw(st.sampled_from([[], value * 2, value * 12]))
        elif isinstance(value, str):
            holder[name] = draw(st.sampled_from(["", " ", value * 2, "字" * 43, "x" * 2049, "x" * 4001, 7]))
        elif isinstance(value, dict):
            holder[name] = draw(st.sampled_from([{}, "x", None]))
        elif isinstance(holder, dict):
            del holder[name]
    return body


def places(tree: Any) -> Any:
    """Every place in a body: the object or list that holds it, and its name or number."""
    for name in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, name
        yield from places(tree[name])


@QUICK
@given(damaged())
def test_what_passes_the_door_is_taken(body: dict[str, Any]):
    """Also of bodies that may be wrong: either the door says so, or the vendor takes them as they are."""
    document = {**Raw(body=body).document(), "type": "campaign"}
    asked = draft(document)
    refused = CHANNEL.check(asked)
    event("refused at the door" if refused else "taken")
    if refused:
        return

    (spec,) = CHANNEL.split(asked)
    _, _, reply = Vendor().takes(part(document, spec))

    assert (reply["errcode"], reply["errmsg"]) == (0, "ok"), body


LISTS = st.one_of(st.none(), IDS, st.just("a|b"), st.integers(), st.booleans(), st.just({}), st.just([None, 5, "wm1"]))
CODES = st.one_of(
    st.sampled_from([0, 0, 0, 41048, 41063, 41093, 41094, 50100, 40096, -1, 45009, 42001, 48002, 40007, 999999]),
    st.integers(-2, 100000),
)


@QUICK
@given(IDS, CODES, LISTS, st.one_of(st.none(), st.text(max_size=20), st.integers()))
def test_nobody_is_lost_or_counted_twice(ids: list[str], errcode: int, failed: Any, msgid: Any):
    """Whatever the vendor answers: accepted + refused + unknown + not sent + not yet = asked."""
    asked = Customers({"lihua": ids})
    (spec,) = CHANNEL.split(draft(to=asked))
    made = part(spec=spec)

    found = outcome({"errcode": errcode, "errmsg": "x", "fail_list": failed, "msgid": msgid}, made)

    refused = [
        {"part_id": made.id, "kind": one.kind, "recipient_key": one.recipient.lower()}
        for one in getattr(found, "refusals", ())
    ]
    named = [(one["kind"], one["recipient_key"]) for one in refused]
    assert len(set(named)) == len(named)
    row = {"id": made.id, "spec": json.dumps(spec), "state": int(state_of(found)), "doubts": 0, "first_marked_at": 1}
    counted = recipients_by_status(asked, False, [row], refused)
    assert asked.count() == sum(len(each) for each in counted.values())
    if isinstance(found, Partial):
        assert len(refused) == len(counted[RecipientStatus.REFUSED])


def state_of(found: Any) -> PartState:
    """The state a part ends in by this outcome alone."""
    match found:
        case Accepted():
            return PartState.ACCEPTED
        case Partial():
            return PartState.PARTIAL
        case Rejected():
            return PartState.REJECTED
    return PartState.UNKNOWN
