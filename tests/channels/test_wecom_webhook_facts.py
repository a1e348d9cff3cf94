"""Every row of the vendor's tables about webhooks is a row of ours."""

from __future__ import annotations

import re

import pytest
from wecom_app_facts import codes, rows, size
from wecom_webhook_samples import ACCESS, CHANNEL, account, part, reply

from tests.support.each import each
from worker.channels.checking.row import AnyOf, Effect, FieldRule
from worker.channels.wecom_webhook import check, messages
from worker.channels.wecom_webhook.account import EDITIONS
from worker.channels.wecom_webhook.channel import ERRCODES, WecomWebhook
from worker.domain.outcome import Accepted, Outcome, Parked, Progress, Rejected, Retry, Scope, Wait
from worker.domain.pacing.limit import Unit

TYPES = {"string": str, "int": int, "bool": bool, "number": float, "array": list, "object": dict}


def rules_at(table, path: str) -> list[FieldRule]:
    """Our rows of a path; the list itself where the path ends in its brackets."""
    return [row for row in table if isinstance(row, FieldRule) and row.path == path.removesuffix("[]")]


@each((row,) for row in rows("webhook_fields"))
def test_every_field_is_ours(row: dict[str, str]):
    """Type, edition, need, limit, effect and codes."""
    msgtype, path = row["type.field"].split(".", 1)
    editions = EDITIONS if row["edition"] == "both" else (row["edition"],)
    made_by_us = "given by the worker" in row["req"] or "made from a file" in row["req"]

    for edition in EDITIONS:
        found = rules_at(check.BODIES[edition].get(msgtype, ()), path)
        if edition not in editions:
            assert all(rule.banned for rule in found)
            continue
        (rule,) = found
        assert TYPES[row["type"]] is rule.type
        assert made_by_us or row["req"].startswith("yes") == rule.required
        assert codes(row["req"] + row["over-limit"]) - {301019} <= rule.codes
        assert size("bytes", row["limit"]) == rule.max_bytes
        assert (Effect.CUT if row["over-limit"] == "cut" else Effect.ERR) is rule.effect
        if most := re.fullmatch(r"(\d+) to (\d+)", row["limit"]):
            assert (int(most[1]), int(most[2])) == rule.entries


@each((row, card) for row in rows("webhook_cards") for card in messages.CARD_CLASSES)
def test_every_member_of_a_card_is_ours(row: dict[str, str], card: str):
    """What is required, of which type, how long is advised, how many, which values; and what a card has not."""
    found = rules_at(check.CARD_ROWS[card], row["member"])
    cell, rule_text = row[card], row["rule"]

    if cell == "-":
        assert found == []
        return
    (rule,) = found
    assert TYPES[row["type"]] is rule.type
    assert codes(rule_text) <= rule.codes
    if cell.startswith("if type"):
        assert ("type", int(cell[-1])) == rule.when
    else:
        assert (cell == "R") == rule.required
    if ", or " in cell:
        either = {name for one in check.CARD_ROWS[card] if isinstance(one, AnyOf) for name in one.names}
        assert {row["member"], cell.partition(", or ")[2]} == either
    advised = re.match(r"~(\d+)", rule_text)
    assert (int(advised[1]) if advised else None) == rule.advised
    if most := re.search(r"at most (\d+)", rule_text):
        assert (0, int(most[1])) == rule.entries
    if values := re.search(r"values ([\d, ]+)", rule_text):
        assert tuple(int(one) for one in values[1].split(", ")) == rule.allowed
    if "more than" in rule_text:
        assert rule.between == (1.3, 2.25)


def test_no_row_of_ours_is_unknown_to_the_tables():
    """Nothing is checked that no page says, but for what cards and bodies share."""
    told = {row["type.field"].removesuffix("[]") for row in rows("webhook_fields")}
    ours = {f"{name}.{row.path}" for table in check.BODIES.values() for name, found in table.items() for row in found}
    members = {row["member"].removesuffix("[]") for row in rows("webhook_cards")}
    cards = {row.path for table in check.CARD_ROWS.values() for row in table if isinstance(row, FieldRule)}

    assert told == ours
    assert members == cards


@pytest.mark.parametrize("row", rows("webhook_places"), ids=lambda row: row["type"])
def test_every_type_goes_where_its_section_says(row: dict[str, str]):
    """Audiences, posts, and who alone sees it."""
    msgtype = row["type"]
    audiences = ["groups"]
    audiences += ["blackboards"] if row["`@all_blackboard`"] == "yes" else []
    audiences += ["all"] if row["`@all`"] in ("groups and blackboards", "groups only") else []

    assert tuple(audiences) == messages.AUDIENCES_OF[msgtype]
    assert (row["`post_id`"] == "yes") == (msgtype in check.POST_TYPES)
    assert row["`visible_to_user`"].startswith("one group") == (msgtype in check.VISIBLE_TYPES)
    assert (row["`@all`"] == "groups only") == (msgtype in check.GROUPS_ALONE)
    assert (row["`@all`"] == "no chatid shown") == (msgtype in messages.UNADDRESSED)


def told(outcome: Outcome) -> str:
    """An outcome in the words of the table."""
    match outcome:
        case Accepted():
            return "accepted"
        case Retry():
            return "retry"
        case Wait(scope=scope, delay=delay):
            return f"wait {scope} {delay:.0f} s"
        case Parked(scope=Scope.ACCOUNT):
            return "park account"
        case Rejected(refusals=()):
            return "rejected"
        case Rejected():
            return "rejected, its chat"
        case Progress(delay=delay):
            return f"again after {delay:.0f} s, then rejected, its chat"
    return repr(outcome)


@each((row,) for row in rows("webhook_errors"))
def test_every_code_does_what_the_table_says(row: dict[str, str]):
    """And is explained."""
    code = int(row["code"])

    verdict = CHANNEL.outcome(part(), account(), reply({"errcode": code, "errmsg": "x"}), ACCESS)

    assert row["what the worker does"] == told(verdict.outcome)
    assert code == verdict.errcode
    assert not code or ERRCODES.explain(code)


@pytest.mark.parametrize("row", rows("webhook_limits"), ids=lambda row: row["name"])
def test_every_limit_is_ours(row: dict[str, str]):
    """Amount, window, and which edition it costs."""
    limit = WecomWebhook.profile[row["name"]]
    settings = {"subscribed": False}
    chat = CHANNEL.limits(part(), account(row["edition"], settings))
    broadcast = CHANNEL.limits(part(spec={"everyone": True, "audience": "groups"}), account(row["edition"], settings))

    assert int(row["amount"].replace(",", "")) == limit.amount
    assert (int(row["window"].split()[0]) if row["window"].endswith(" s") else 0) == limit.window_s
    assert (row["window"] == "at any moment") == (limit.unit is Unit.IN_FLIGHT)
    assert limit.name in {charge.limit.name for charge in (*chat, *broadcast)}
    other = "push" if row["edition"] == "robot" else "robot"
    assert limit.name not in {
        charge.limit.name for charge in CHANNEL.limits(part(spec={"chats": ["wr1"]}), account(other))
    }


def test_every_limit_has_a_row():
    """No other is kept."""
    assert set(WecomWebhook.profile) == {row["name"] for row in rows("webhook_limits")}
