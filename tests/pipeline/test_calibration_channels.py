"""Calibration of the channels beside app messages: what can be asked without reaching other people."""

from __future__ import annotations

import pytest

from tests.pipeline.calibrated_tenant import PERSON, tenant
from worker.config.channels import REGISTRY
from worker.domain.account import Account, Secret
from worker.domain.errors import WorkerError
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker_simulator.settings.youdu import key_of

pytestmark = pytest.mark.fewer_databases("what the vendor answers is the same on each")
WEBHOOK = {"edition": "push"}
YOUDU = {"buin": 12345678, "appid": "yd00112233445566778899AABBCCDDEEFF"}
STRANGERS = {"missing": ["wmcalibration.*"]}
FOUND = [
    ("wecom_webhook", WEBHOOK, {}, "a text beyond 2048 bytes", "refused with 40058"),
    (
        "wecom_webhook",
        WEBHOOK,
        {"webhook": {"long_text_code": 45002}},
        "a text beyond 2048 bytes",
        "refused with 45002",
    ),
    ("wecom_external", {}, {"external": STRANGERS}, "every id of no customer", "refused with 41048"),
    (
        "wecom_external",
        {},
        {"external": {**STRANGERS, "nobody_code": 40096}},
        "every id of no customer",
        "refused with 40096",
    ),
    ("wecom_external", {}, {"external": STRANGERS}, "a sender who does not exist", "refused with 41048"),
    ("wecom_external", {}, {}, "a sender who does not exist", "taken, and cancelled"),
    ("youdu", YOUDU, {}, "an unknown account among others", "taken, and errmsg names it"),
    (
        "youdu",
        YOUDU,
        {"youdu": {"invalid_users": "silent"}},
        "an unknown account among others",
        "taken, and errmsg says nothing",
    ),
    ("youdu", YOUDU, {"youdu": {"invalid_users": "strict"}}, "the others, where the call is refused", "get nothing"),
    ("youdu", YOUDU, {"youdu": {"invalid_users": "partial-error"}}, "the others, where the call is refused", "get it"),
    ("youdu", YOUDU, {}, "a link's title beyond 64 characters", "taken"),
    (
        "youdu",
        YOUDU,
        {"youdu": {"long_title_code": 100003}},
        "a link's title beyond 64 characters",
        "refused with 100003",
    ),
]


@pytest.mark.parametrize(("channel", "own", "settings", "fact", "value"), FOUND)
def test_other_channels_are_asked_as_far_as_no_other_person_is_reached(
    database: Database, driven_clock: DrivenClock, channel: str, own: dict, settings: dict, fact: str, value: str
) -> None:
    """Each fact in simulators that are set both ways, with messages to the one person alone."""
    settings = {**settings, "youdu": {"missing_users": ["cal.*"], **settings.get("youdu", {})}}
    with tenant(database, driven_clock, settings) as vendor:
        secret = key_of(0) if channel == "youdu" else "s1"
        corp = {} if channel in ("youdu", "wecom_webhook") else {"corpid": "ww1"}
        vendor.account = Account("other", channel, vendor.url, {**corp, **own}, Secret(lambda: secret))
        vendor.pause = vendor.advance
        found = vendor.run()

        assert value == found.found[fact]
        assert set(vendor.inboxes()) <= {PERSON}
        assert vendor.calls() == found.calls < 60
        assert all(found.not_asked.values())
        assert all(task["cancelled"] for task in vendor.ask("groupmsg_tasks")["tasks"])


@pytest.mark.parametrize("to", ["wr1", "bb1", "wozhangsan"])
def test_a_webhook_is_asked_about_no_chat(database: Database, driven_clock: DrivenClock, to: str) -> None:
    """What could be the id of a group, a blackboard or a single chat is refused."""
    with tenant(database, driven_clock, {}) as vendor:
        vendor.account = Account("other", "wecom_webhook", vendor.url, WEBHOOK, Secret(lambda: "k"))
        with pytest.raises(WorkerError, match="--to names one person"):
            vendor.run(to=to)

        assert 0 == vendor.calls()


def test_every_channel_that_sends_can_be_calibrated_or_says_why(database: Database, driven_clock: DrivenClock) -> None:
    """A group robot posts to its whole chat, so nothing of it is asked; a suite sends nothing."""
    with tenant(database, driven_clock, {}) as vendor:
        vendor.account = Account("robot", "wecom_webhook", vendor.url, {"edition": "robot"}, Secret(lambda: "k"))
        robot = vendor.run()

        assert ({}, 0) == (robot.found, vendor.calls())
        assert "a group robot posts to the whole chat it is in" in robot.not_asked.values()
        assert {"wecom_suite"} == {name for name, entry in REGISTRY.items() if entry.door is None}
