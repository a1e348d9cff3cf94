"""Calibration against simulators that are set both ways: each fact is found, and one person alone is written to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.pipeline.calibrated_tenant import PERSON, group, tenant
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("what the vendor answers is the same on each")


FLAGLESS = {"compare": "flagless"}
APP = {"corpid": "ww1", "secret": "s1", "agentid": 7}
QUIET = "do not matter: with the flag it is another body"
BOTH_WAYS = [
    ({}, "an equal body again", "suppressed"),
    (group("duplicate", longest_s=0), "an equal body again", "sent once more"),
    ({}, "the answer to a suppressed repeat", "the first msgid"),
    (group("duplicate", answers="new_msgid"), "the answer to a suppressed repeat", "a new msgid"),
    (group("duplicate", answers="no_msgid"), "the answer to a suppressed repeat", "no msgid"),
    ({}, "flags in the duplicate check", "compared"),
    (group("duplicate", **FLAGLESS), "flags in the duplicate check", "ignored"),
    (group("duplicate", answers="new_msgid"), "flags in the duplicate check", "compared"),
    (group("duplicate", answers="new_msgid", **FLAGLESS), "flags in the duplicate check", "ignored"),
    (group("duplicate", **FLAGLESS), "order of keys in the duplicate check", "compared"),
    (group("duplicate", compare="sorted"), "order of keys in the duplicate check", "ignored"),
    ({}, "calls without the flag", QUIET),
    (group("duplicate", **FLAGLESS), "calls without the flag", "do not count"),
    (group("duplicate", unflagged_counts=True, **FLAGLESS), "calls without the flag", "count"),
    *[
        (
            group("duplicate", answers=answers, refused_counts=counts, **more),
            "refused calls in the duplicate check",
            told,
        )
        for answers in ("first_msgid", "new_msgid", "no_msgid")
        for more in (FLAGLESS, {"before_task_id": True})
        for counts, told in ((False, "do not count"), (True, "count"))
    ],
    ({}, "task_id or duplicate check first", "task_id"),
    (group("duplicate", before_task_id=True), "task_id or duplicate check first", "duplicate check"),
    ({}, "recall of an unknown msgid", "refused with 40058"),
    (group("recall", unknown_code=42052), "recall of an unknown msgid", "refused with 42052"),
    ({}, "a second recall", "taken"),
    (group("recall", twice_code=40050), "a second recall", "refused with 40050"),
    ({}, "callback URL", "there is one"),
    ({"apps": [{**APP, "callback": False}]}, "callback URL", "none"),
    ({}, "an update without targets", "refused with 82101"),
    (group("card", no_target_code=40035), "an update without targets", "refused with 40035"),
    ({}, "response_code of a failed update", "good still"),
    (group("card", consumed_on_error=True), "response_code of a failed update", "spent"),
    ({}, "atall together with lists", "taken"),
    (group("card", atall_with_lists_code=40058), "atall together with lists", "refused with 40058"),
    ({}, "update of a recalled card", "taken"),
    (group("card", recalled_code=60140), "update of a recalled card", "refused with 60140"),
    ({}, "no recipient at all", "refused with 82001"),
    (group("codes", all_empty=81012), "no recipient at all", "refused with 81012"),
    ({}, "a url beyond 2048 bytes", "refused with 40058"),
    (group("codes", url_too_long=0), "a url beyond 2048 bytes", "taken"),
    ({}, "a body with \\u escapes", "taken"),
    (group("codes", escaped_json="refused"), "a body with \\u escapes", "refused with 40033"),
    ({}, "a card's title beyond the advised length", "taken"),
    (group("codes", suggested_length=40058), "a card's title beyond the advised length", "refused with 40058"),
    ({}, "group chats", "allowed"),
    ({"apps": [{**APP, "root_scope": False}]}, "group chats", "refused with 48002"),
    ({}, "an unknown chat", "refused with 86003"),
    (group("chat", unknown_code=40050), "an unknown chat", "refused with 40050"),
]


@pytest.mark.parametrize(("settings", "fact", "value"), BOTH_WAYS)
def test_each_fact_is_found(
    database: Database, driven_clock: DrivenClock, settings: Mapping[str, Any], fact: str, value: str
) -> None:
    """In simulators that are set both ways, by fewer than 60 calls, and with messages to the one person alone."""
    with tenant(database, driven_clock, settings) as vendor:
        found = vendor.run()

        assert value == found.found[fact]
        assert {PERSON} == set(vendor.inboxes())
        assert vendor.calls() == found.calls < 60


WINDOWS = [
    ({}, {}),
    (group("duplicate", compare="sorted", answers="new_msgid", repeat_extends=True), {}),
    (group("duplicate", longest_s=0), {"duplicate_window_s": 0}),
    (group("duplicate", longest_s=1_000), {"duplicate_window_s": 0}),
    (group("duplicate", longest_s=1_800, answers="no_msgid"), {"duplicate_window_s": 1_600}),
    (group("recall", window_s=40_000), {"recall_window_s": 0}),
    (group("recall", window_s=60_000), {"recall_window_s": 43_600}),
    ({"task_id_reserved_s": 1_000}, {"task_id_window_s": 0}),
    ({"task_id_reserved_s": 10_000}, {"task_id_window_s": 1_600}),
    ({"task_id_reserved_s": 20_000}, {}),
]


@pytest.mark.parametrize(("settings", "expected"), WINDOWS)
def test_windows_are_bracketed_by_later_runs(
    database: Database, driven_clock: DrivenClock, settings: Mapping[str, Any], expected: Mapping[str, int]
) -> None:
    """A window shorter than what the worker relies on becomes a setting: the longest age at which it held."""
    with tenant(database, driven_clock, settings) as vendor:
        found = vendor.run_to_the_end()

        assert expected.keys() == found.settings.keys()
        assert all(0 <= found.settings[key] - value < 120 for key, value in expected.items())
        assert () == tuple(found.later)
        assert {PERSON} == set(vendor.inboxes())
        assert vendor.calls() == found.calls < 60


SETTINGS = [
    ({"apps": [{**APP, "callback": False}]}, {}, {"callback": False}),
    ({"apps": [{**APP, "callback": False}]}, {"callback": {"token": "t", "aes_key": "k"}}, {}),
    ({"apps": [APP]}, {"callback": False}, {"callback": True}),
    ({"apps": [{**APP, "root_scope": False}]}, {}, {"root_scope": False}),
    ({"apps": [APP]}, {"root_scope": False}, {"root_scope": True}),
    (group("recall", twice_code=40050), {}, {"recalled_code": 40050}),
    (group("recall", twice_code=42052), {}, {}),
    ({}, {"recalled_code": 40050}, {"recalled_code": 40058}),
]


@pytest.mark.parametrize(("settings", "account", "expected"), SETTINGS)
def test_what_differs_from_the_accounts_settings_follows(
    database: Database,
    driven_clock: DrivenClock,
    settings: Mapping[str, Any],
    account: Mapping[str, Any],
    expected: Mapping[str, Any],
) -> None:
    """A table of callback secrets stays, and 42052 alone does not say that a message was recalled before."""
    with tenant(database, driven_clock, settings, account) as vendor:
        found = vendor.run()

        assert expected == found.settings


def test_a_window_that_is_as_published_lifts_an_earlier_setting(database: Database, driven_clock: DrivenClock) -> None:
    """Once the longest age was asked about, and not before."""
    with tenant(database, driven_clock, {}, {"task_id_window_s": 0}) as vendor:
        vendor.pause = vendor.advance
        first = vendor.run()
        last = vendor.run_to_the_end()

        assert ({}, {"task_id_window_s": 14_400}) == (first.settings, last.settings)


def test_without_eyes_what_the_answers_do_not_tell_stays_open(database: Database, driven_clock: DrivenClock) -> None:
    """A new msgid may be that of a suppressed repeat or of a second message; nothing follows from it."""
    with tenant(database, driven_clock, group("duplicate", answers="new_msgid", longest_s=0)) as vendor:
        found = vendor.run(looks=False)

        assert found.found["an equal body again"].startswith("not told by the answers")
        assert {} == found.settings
