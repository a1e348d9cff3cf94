"""A campaign through days of an office, in minutes: everything that runs is killed and started anew at each step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rig import brokers
from rig.stack import Process, Stack, until
from rig.stacks import EMBEDDED, MARIADB, Make, on_stacks
from worker import CampaignReport, Customers, campaign, enqueue, external, recall, remind, track

MEMBERS = {f"member{n}": [f"wm-{n}-{one}" for one in range(75)] for n in range(4)}
ACCOUNT = """
[accounts.sales]
channel = "wecom_external"
corpid = "ww-canary-corp"
secret = { file = "FOLDER/secret" }
base_url = "http://127.0.0.1:PORT"
"""


class Office:
    """A stack whose worker is killed between two steps, and with it whatever the broker held."""

    def __init__(self, stack: Stack):
        self._stack, self._worker = stack, stack.worker()

    def restarts(self) -> None:
        """kill -9, an empty broker, and a new worker."""
        self._worker.kill()
        self._worker.wait()
        brokers.forget(self._stack.broker, self._stack.prefix)
        self._worker: Process = self._stack.worker()

    def asks(self, what: Callable[..., Any], *given: Any, **options: Any) -> str:
        """A job in a transaction of its own."""
        with self._stack.database.writing() as connection:
            return str(what(connection, *given, accounts=self._stack.accounts, **options).id)

    def sees(self, job: str) -> CampaignReport:
        """The report, which has to add up whenever it is asked for."""
        with self._stack.database.reading() as connection:
            found = campaign(connection, job)
        lists = (found.sent, found.waiting, found.quota_spent, found.no_contact, found.refused, found.cancelled)
        rest = (found.closed, found.unknown, found.never_sent)
        assert found.asked == sum(map(len, (*lists, *rest)))
        return found

    def ended(self, job: str) -> str:
        """The state of a job once it has ended."""
        query = "select state from worker_jobs where id = :id and n_open = 0"
        return str(until(lambda: self._stack.rows(query, id=job), f"job {job} ends")[0][0])


@on_stacks(MARIADB, EMBEDDED, why="its SQL is tried on each database in process")
def test_a_campaign_survives_a_restart_of_everything_at_each_step(make: Make) -> None:
    """300 customers, four members: created, reminded, 250 confirmed, cancelled; the report adds up at each step."""
    stack = make(account=ACCOUNT, vendor={"external": {"dispatch_s": 0}})
    office, vendor = Office(stack), stack.vendor
    job = office.asks(enqueue, "sales", external.Campaign(text="We open on Saturday"), Customers(MEMBERS))
    assert office.ended(job) == "2"
    created = office.sees(job)

    office.restarts()
    assert office.ended(office.asks(remind, job)) == "2"
    reminded = office.sees(job)

    following = office.asks(track, job, pace=1)
    office.restarts()
    tasks = {next(iter(task["members"])): task["msgid"] for task in vendor.get("groupmsg_tasks")["tasks"]}
    for member in list(MEMBERS)[:3]:
        vendor.post("groupmsg_confirm", {"msgid": tasks[member], "member": member})
    some = {"msgid": tasks["member3"], "member": "member3", "recipients": MEMBERS["member3"][:25]}
    vendor.post("groupmsg_confirm", some)
    until(lambda: len(office.sees(job).sent) == 250, "250 have it, as far as was read")
    confirmed = office.sees(job)

    office.restarts()
    cancel = office.asks(recall, job)
    assert office.ended(cancel) == "2"
    assert office.ended(following) == "2"
    cancelled = office.sees(job)

    assert created.asked == 300
    assert len(created.waiting) == 300
    assert len(created.tasks) == 4
    assert reminded.asked == 300
    assert len(reminded.waiting) == 300
    assert len(confirmed.sent) == 250
    assert len(confirmed.waiting) == 50
    assert len(cancelled.sent) == 250
    assert len(cancelled.cancelled) == 50
    assert len(cancelled.waiting) == 0
    assert {len(tasks), len(vendor.calls("/cgi-bin/externalcontact/add_msg_template"))} == {4}
    warnings = [
        row[0] for row in stack.rows("select warning from worker_receipts where part_id like :job", job=f"{cancel}-%")
    ]
    assert warnings == ["1 of 1 members had sent before, as last read; that stays"] * 4
