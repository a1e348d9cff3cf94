"""Promises that hold for every message and every answer, tried on random ones."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st
from wecom_app_facts import Fact, card_facts, plain_facts, size
from wecom_app_messages import BODIES, CARDS, USER, bodies
from wecom_app_samples import ACCESS, CHANNEL, account, draft, part, sent

from worker.channels.wecom_app import message_from_json, message_to_json
from worker.channels.wecom_app.cards import CARD_CLASSES
from worker.channels.wecom_app.messages import CLASSES
from worker.domain.call import Reply
from worker.domain.content.recipient import To
from worker.domain.outcome import Accepted, Partial, Rejected
from worker.domain.state import PartState
from worker.reporting.recipient_status import RecipientStatus, recipients_by_status

QUICK = settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])


def test_every_type_is_tried():
    """The generators know what the channel knows."""
    assert set(CLASSES) == set(BODIES)
    assert set(CARD_CLASSES) == set(CARDS)


@QUICK
@given(bodies(), st.sets(USER.map(str.lower), min_size=1, max_size=30), st.booleans())
def test_valid_messages_pass_and_go_out_within_all_limits(body: dict[str, Any], users: set[str], flagged: bool):
    """Whatever is valid by the vendor's tables passes the check, goes within them, and comes back from JSON."""
    message = message_from_json(body)
    document = message.document()
    asked = draft(document, To(users))

    assert message == message_from_json(json.dumps(message_to_json(message)))
    assert CHANNEL.check(asked) == []
    CHANNEL.warnings(asked)
    for spec in CHANNEL.split(asked):
        made = part(document, spec)
        out = sent(CHANNEL.request(made, account(), ACCESS, flagged=flagged))
        assert_within_limits(out)
        assert {name: out[body["msgtype"]][name] for name in body[body["msgtype"]]} == body[body["msgtype"]]


PLAIN_LIMITS = plain_facts()
CARD_LIMITS = [fact for _, facts in card_facts() for fact in facts]


def assert_within_limits(out: dict[str, Any]) -> None:
    """Measures what is on the wire by the vendor's tables alone."""
    msgtype = out["msgtype"]
    facts = CARD_LIMITS if msgtype == "template_card" else [fact for fact in PLAIN_LIMITS if fact.place == msgtype]
    for fact in facts:
        for value in values(out[msgtype], fact.path.split(".")):
            assert_within(fact, value)


def values(tree: Any, steps: list[str]) -> list[Any]:
    """Everything that stands at a path; a path that ends in a list's brackets is the list itself."""
    if not steps:
        return [tree]
    name = steps[0].removesuffix("[]")
    if not isinstance(tree, dict) or name not in tree:
        return []
    if steps[0].endswith("[]") and len(steps) > 1:
        return [found for entry in tree[name] for found in values(entry, steps[1:])]
    return values(tree[name], steps[1:])


def assert_within(fact: Fact, value: Any) -> None:
    """One value against one row."""
    if isinstance(value, list):
        most = re.search(r"(?:1 to |at most )(\d+)", fact.rule)
        assert most is None or len(value) <= int(most[1]), fact
    elif isinstance(value, str) and "~" not in fact.rule:
        kilo, plain = size("K bytes", fact.rule), size("bytes", fact.rule)
        characters, chinese = size("characters", fact.rule), size("Chinese characters", fact.rule)
        limit = kilo * 1024 if kilo else plain
        assert limit is None or len(value.encode()) <= limit, fact
        assert characters is None or len(value) <= characters, fact
        assert chinese is None or len(value) <= chinese, fact


IDS = st.lists(st.from_regex(r"[a-z0-9]{1,3}", fullmatch=True), max_size=6)
NUMBERS = st.lists(st.integers(1, 40), max_size=5)
JOINED = st.one_of(st.none(), st.just(""), IDS.map("|".join), IDS, st.integers(), st.booleans(), st.just({}))
CODES = st.one_of(
    st.sampled_from([0, 0, 0, 81013, 40003, -1, 45009, 42001, 60020, 42014, 999999]), st.integers(-2, 100000)
)


@QUICK
@given(
    IDS,
    NUMBERS,
    NUMBERS,
    CODES,
    st.fixed_dictionaries(dict.fromkeys(("invaliduser", "invalidparty", "invalidtag", "unlicenseduser"), JOINED)),
    st.booleans(),
)
def test_nobody_is_lost_or_counted_twice(users, parties, tags, errcode, lists, in_doubt):
    """Whatever the vendor answers: accepted + refused + unknown + not sent + not yet = asked."""
    asked = To(users, parties, tags)
    reply = Reply(200, {}, json.dumps({"errcode": errcode, "errmsg": "x", "msgid": "m", **lists}).encode())
    made = part(spec=asked.to_json(), in_doubt=in_doubt)

    outcome = CHANNEL.outcome(made, account(), reply, ACCESS).outcome

    refused = [
        {"part_id": made.id, "kind": one.kind, "recipient_key": one.recipient.lower()}
        for one in getattr(outcome, "refusals", ())
    ]
    named = [(one["kind"], one["recipient_key"]) for one in refused]
    assert len(set(named)) == len(named)
    row = {"id": made.id, "spec": json.dumps(asked.to_json()), "state": int(state_of(outcome)), "doubts": int(in_doubt)}
    found = recipients_by_status(asked, False, [{**row, "first_marked_at": 1}], refused)
    assert asked.count() == sum(len(ids) for ids in found.values())
    if isinstance(outcome, Partial):
        assert asked.count() == len(found[RecipientStatus.ACCEPTED]) + len(found[RecipientStatus.REFUSED])
        assert len(refused) == len(found[RecipientStatus.REFUSED])


def state_of(outcome: Any) -> PartState:
    """The state a part ends in by this outcome alone."""
    match outcome:
        case Accepted():
            return PartState.ACCEPTED
        case Partial():
            return PartState.PARTIAL
        case Rejected():
            return PartState.REJECTED
    return PartState.UNKNOWN
