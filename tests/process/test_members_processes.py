"""The application's resolver in real workers: found, asked, and by its word the vendor drops nobody."""

from __future__ import annotations

import contextlib
from collections import Counter

from rig.stack import ACCOUNT, SHORT, Stack, until
from rig.stacks import EMBEDDED, MARIADB, Make, on_stacks
from worker import NewJob, Text, To, enqueue_many


@on_stacks(MARIADB, EMBEDDED, why="its SQL is tried on each database in process")
def test_two_workers_keep_the_caps_of_members_of_departments(make: Make) -> None:
    """Forty to a department whose members may get thirty an hour: thirty go, and not one is dropped in silence. One to
    a department whose members the resolver does not know goes too, and the log says so. Embedded: one worker.
    """
    # Of an hour, so that the window cannot end while a slow machine is still sending the first thirty.
    stack = make(
        {"limits": {"member_per_minute": 1_000, "member_per_hour": 30}},
        top='members_of = "tests.process.members_of:told"',
        account="limits = { member_minute = 0, member_hour = 30 }\n",
        delivery=SHORT,
    )
    new = [NewJob(ACCOUNT, Text(content=f"news {n}"), To(parties=[12])) for n in range(40)]
    with stack.database.writing() as connection:
        enqueue_many(connection, new, accounts=stack.accounts)
    for _ in range(make.workers(2)):
        stack.worker()
    _until_sent(stack, 30, "as many as each may get")

    until(lambda: stack.number("select count(*) from worker_parts where limit_name like 'member%'") == 10, "ten wait")
    with stack.database.writing() as connection:
        unknown = NewJob(ACCOUNT, Text(content="to others"), To(parties=[7]))
        enqueue_many(connection, [unknown], accounts=stack.accounts)
    _until_sent(stack, 31, "the unknown department's")

    got = {who: len(messages) for who, messages in stack.vendor.inbox().items()}
    assert Counter({f"p12u{n}": 30 for n in (1, 2, 3)} | {f"p7u{n}": 1 for n in (1, 2, 3)}) == Counter(got)
    assert stack.vendor.get("violations")["drops"] == []
    [line] = [line for line in stack.lines() if line["event"] == "members_unknown"]
    assert line["account"] == ACCOUNT
    assert line["error"].startswith("KeyError > members_of.py:")
    for process in stack.processes:
        assert stack.end(process) == 0


def _until_sent(stack: Stack, count: int, what: str) -> None:
    """Waits for so many sends; says whether there are too few or too many, and what the others wait for."""
    with contextlib.suppress(AssertionError):
        until(lambda: stack.vendor.sends() >= count, what)
    sent = stack.vendor.sends()
    assert count == sent, f"{what}: {sent} sent, (state, reason, parts): {stack.state()}"
