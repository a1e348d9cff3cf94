"""Group sends of a customer's third-party app: tickets, permanent codes, corp tokens, and results."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.pipeline.suite_site import (
    CORP_TOKEN,
    PERMANENT,
    SUITE_TOKEN,
    SuiteSite,
    a_customer,
    a_suite,
    suite_site,
)
from tests.support.control import control
from tests.support.runtime import GETTOKEN, UPLOAD
from worker import CampaignReport, Customers, campaign, external, remind, track
from worker.channels.wecom.token import ENDED
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

CONTACT = "/cgi-bin/externalcontact/"
CREATE = f"{CONTACT}add_msg_template"
LIST = f"{CONTACT}get_groupmsg_list_v2"
ANN = Customers({"ann": ["wm1", "wm2"]})

pytestmark = pytest.mark.fewer_databases("the same rows as of test_suite.py, which runs on each; here channels differ")


def an_app(url: str, name: str = "acme", **more: Any) -> Any:
    """The account of a customer's app that sends to customers."""
    return a_customer(url, name, channel="wecom_external", **more)


class Sales(SuiteSite):
    """A site whose two customers make group sends."""

    def campaign(self, message: Any = None, account: str = "acme") -> str:
        """A group send to two customers of one member."""
        return self.site.ask(message or external.Campaign(text="hello"), ANN, account=account)

    def follow(self, what: Any, job: str, **options: Any) -> str:
        """A track or a reminder."""
        with self.site.database.writing() as connection:
            options = {"accounts": self.site.accounts, **options}
            return str(what(connection, job, **options).id)

    def go(self, seconds: float = 0, turns: int = 1) -> None:
        """Work, with time passing between the turns."""
        for _ in range(turns):
            self.advance(seconds)
            self.site.run()
            self.site.recover()

    def tasks(self) -> list[dict[str, Any]]:
        """What the vendor has."""
        found: list[dict[str, Any]] = control(self.url, "groupmsg_tasks")["tasks"]
        return found

    def report(self, job: str) -> CampaignReport:
        """What became of a campaign."""
        with self.site.database.reading() as connection:
            return campaign(connection, job)

    def tokens_of_calls(self) -> set[str]:
        """The tokens of all calls that are about customers or files."""
        made = control(self.url, "calls")["calls"]
        return {one["query"]["access_token"] for one in made if one["path"].startswith((CONTACT, UPLOAD))}


@pytest.fixture
def here(database: Database, driven_clock: DrivenClock) -> Iterator[Sales]:
    with suite_site(database, driven_clock) as made:
        control(made.url, "settings", {"external": {"dispatch_s": 0}})
        made.site.accounts.replace(a_suite(made.url), an_app(made.url), an_app(made.url, "globex"))
        yield Sales(made.site, made.url, made.clock)


@pytest.fixture
def ready(here: Sales) -> Sales:
    """A ticket has come, and both corps have authorised the app."""
    here.act("ticket")
    here.authorise()
    here.authorise("wwglobex", 8)
    return here


# -- end to end -------------------------------------------------------------------------------------------------------


def test_a_group_send_is_made_reminded_of_tracked_and_cancelled(ready: Sales) -> None:
    """Every call with the corp's token, which takes a ticket, the suite's token and the permanent code."""
    job, other = ready.campaign(), ready.campaign(external.Campaign(text="to be cancelled"))
    ready.go()
    following, nudge, cancel = ready.follow(track, job, pace=60), ready.follow(remind, job), ready.site.recall(other)
    ready.go(5, turns=3)
    mine = next(task for task in ready.tasks() if task["text"]["content"] == "hello")
    control(ready.url, "groupmsg_confirm", {"msgid": mine["msgid"], "member": "ann"})
    ready.go(61, turns=4)

    assert [ready.site.job(one).state for one in (job, other, following, nudge, cancel)] == ["accepted"] * 5
    assert (mine["corpid"], mine["reminders"]) == ("wwacme", 1)
    assert sorted(task["cancelled"] for task in ready.tasks()) == [False, True]
    assert set(ready.report(job).sent) == {"wm1", "wm2"}
    counts = [len(ready.calls(path)) for path in (SUITE_TOKEN, PERMANENT, CORP_TOKEN, GETTOKEN)]
    assert counts == [1, 2, 1, 0]
    granted = json.loads(ready.calls(CORP_TOKEN)[0]["answer"]["body"])
    assert {granted["access_token"]} == ready.tokens_of_calls()


def test_messages_and_group_sends_of_one_corp_share_its_authorisation(ready: Sales) -> None:
    """Two accounts, one permanent code; a withdrawal parks both."""
    app = a_customer(ready.url, settings={"corpid": "wwacme"})
    both = (an_app(ready.url, "sales", settings={"corpid": "wwacme"}), app)
    ready.site.accounts.replace(a_suite(ready.url), *both)
    jobs = [ready.send(), ready.campaign(account="sales")]
    ready.go()
    ended = [ready.site.state(job) for job in jobs]
    ready.advance(1)
    ready.act("cancel", corpid="wwacme")
    ready.look()
    ready.send("two")
    ready.campaign(account="sales")
    ready.go()

    assert ended == ["accepted"] * 2
    codes = {body["permanent_code"] for body in ready.bodies(CORP_TOKEN)}
    assert ({ready.code_of()}, 1) == (codes, len(ready.calls(SUITE_TOKEN)))
    lanes = [ready.site.lane(name) for name in ("acme", "sales")]
    assert [(f"gettoken: {ENDED[0]}", ENDED[1])] * 2 == [(lane.reason, lane.remedy) for lane in lanes if lane]


# -- authorisations ---------------------------------------------------------------------------------------------------


def test_without_the_permission_the_lane_is_parked_until_the_corp_grants_it(here: Sales) -> None:
    """48002 names what a third-party app lacks; hooks hear of change_auth, and the next probe goes through."""
    here.act("ticket")
    here.authorise(group_sends=False)
    job = here.campaign()
    here.go()
    [lane] = here.site.rows("select reason, remedy, parked from worker_lanes where parked = true")
    here.act("change", corpid="wwacme", group_sends=True)
    here.go(601)

    assert lane.reason.startswith("48002 ")
    assert "third-party app" in lane.remedy
    assert "change_auth" in [row.event for row in here.site.rows("select event from worker_inbound")]
    assert here.site.state(job) == "accepted"
