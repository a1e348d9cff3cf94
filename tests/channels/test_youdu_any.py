"""Promises that hold for every message and every answer, tried on random ones."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st
from wecom_app_facts import rows, size
from youdu_messages import ACCOUNT, BODIES, bodies
from youdu_samples import ACCESS, CHANNEL, account, account_for, draft, part, reply, sent

from worker.channels.youdu import message_from_json, message_to_json
from worker.channels.youdu.messages import CLASSES
from worker.domain.content.recipient import Recipients, To
from worker.domain.outcome import Accepted, Partial, Progress, Rejected, Unknown
from worker.domain.state import PartState
from worker.reporting.recipient_status import RecipientStatus, recipients_by_status

QUICK = settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
LIMITS = {row["field"]: row["rule"] for row in rows("youdu/fields")}


def test_every_type_is_tried():
    """The generators know what the channel knows."""
    assert set(CLASSES) == set(BODIES)


@QUICK
@given(bodies(), st.sets(ACCOUNT, min_size=1, max_size=30))
def test_valid_messages_pass_and_go_out_within_all_limits(body: dict[str, Any], users: set[str]):
    """Whatever is valid by the vendor's tables passes the check, and is within those tables on the wire."""
    message = message_from_json(body)
    document = message.document()
    agent = account_for(body["msgType"])
    asked = draft(document, To(users), account=agent)

    assert message == message_from_json(json.dumps(message_to_json(message)))
    assert CHANNEL.check(asked) == []
    CHANNEL.warnings(asked)
    for spec in CHANNEL.split(asked):
        out = sent(CHANNEL.request(part(document, spec), agent, ACCESS, flagged=False))
        assert_within_limits(out)
        assert body[body["msgType"]] == out[body["msgType"]]


def assert_within_limits(out: dict[str, Any]) -> None:
    """Measures what is on the wire by the vendor's tables alone, in units of UTF-16."""
    for path, rule in LIMITS.items():
        most, items = size("characters", rule), size("items", rule)
        for value in values(out, path.split(".")):
            if isinstance(value, str) and most:
                assert len(value.encode("utf-16-le")) // 2 <= most, path
            if isinstance(value, list) and items:
                assert len(value) <= items, path


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


IDS = st.lists(st.from_regex(r"[a-z0-9]{1,3}|user|张三", fullmatch=True), max_size=6)
NUMBERS = st.lists(st.integers(1, 40), max_size=3)
CODES = st.one_of(
    st.sampled_from([0, 0, 200007, 200007, -1, 100001, 100006, 200010]), st.integers(-2, 99), st.integers(600, 10**6)
)
TEXTS = st.one_of(
    st.just("ok"),
    st.text(max_size=30),
    IDS.map(lambda ids: "invalid user: " + "|".join(ids)),
    IDS.map(lambda ids: "用户" + "，".join(ids) + "不存在"),
)
MODES = st.sampled_from(["strict", "partial", "partial-error", "unknown"])


@QUICK
@given(IDS, NUMBERS, CODES, TEXTS, MODES, st.booleans())
def test_nobody_is_lost_or_counted_twice(
    users: list[str], parties: list[int], errcode: int, errmsg: str, mode: str, in_doubt: bool
):
    """Whatever the server answers: accepted + refused + unknown + not sent + not yet = asked."""
    asked = To(users, parties)
    made = part(spec=asked.to_json(), in_doubt=in_doubt)
    answer = reply({"errcode": errcode, "errmsg": errmsg})

    outcome = CHANNEL.outcome(made, account({"invalid_users": mode}), answer, ACCESS).outcome

    refused = [
        {"part_id": made.id, "kind": one.kind, "recipient_key": one.recipient.lower()}
        for one in getattr(outcome, "refusals", ())
    ]
    assert len({row["recipient_key"] for row in refused}) == len(refused)
    assert {row["recipient_key"] for row in refused} <= {one.lower() for one in asked.users}
    found = counted(made.id, asked, outcome, refused, in_doubt)
    assert asked.count() == sum(len(ids) for ids in found.values())
    if isinstance(outcome, Partial):
        assert len(refused) == len(found[RecipientStatus.REFUSED])
    if isinstance(outcome, Unknown):
        assert outcome.held
        assert (0 if in_doubt else len(refused)) == len(found[RecipientStatus.REFUSED])
        assert asked.count() == len(found[RecipientStatus.REFUSED]) + len(found[RecipientStatus.UNKNOWN])
    if isinstance(outcome, Progress):
        assert mode == "strict"
        assert asked == Recipients.from_json(dict(outcome.spec))


def counted(
    part_id: str, asked: Recipients, outcome: Any, refused: list[Any], in_doubt: bool
) -> dict[RecipientStatus, Any]:
    """How the recipients stand after this outcome, an older call in doubt or not."""
    state = {
        Accepted: PartState.ACCEPTED,
        Partial: PartState.PARTIAL,
        Rejected: PartState.UNKNOWN if in_doubt else PartState.REJECTED,
        Unknown: PartState.UNKNOWN,
    }.get(type(outcome), PartState.QUEUED)
    doubts = int(in_doubt) + int(isinstance(outcome, Unknown))
    row = {"id": part_id, "spec": json.dumps(asked.to_json()), "state": int(state), "doubts": doubts}
    # What an older doubt leaves open is no failure; see `outbox/commit/record_answer.py`.
    written = [] if isinstance(outcome, Rejected) and in_doubt else refused
    return recipients_by_status(asked, False, [{**row, "first_marked_at": 1}], written)
