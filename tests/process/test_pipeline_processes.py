"""Several real processes together: nothing twice, whatever the broker, the network or a signal does."""

from __future__ import annotations

import signal
from pathlib import Path

from rig.stack import ACCOUNT, Stack, until
from rig.stacks import MARIADB, RABBITMQ, WITH_A_BROKER, Make, on_stacks
from worker import NewJob, Text, To, enqueue_many

SEND = "/cgi-bin/message/send"


def enqueue_texts(stack: Stack, count: int, *, first: int = 0, account: str = ACCOUNT, **options: bool) -> list[str]:
    """So many texts, each to a person of its own."""
    jobs = [
        NewJob(account, Text(content=f"text {n}", **options), To(users=[f"u{n}"])) for n in range(first, first + count)
    ]
    with stack.database.writing() as connection:
        return [ref.id for ref in enqueue_many(connection, jobs, accounts=stack.accounts)]


def assert_each_once(stack: Stack, count: int) -> None:
    """Everybody saw their message exactly once, and the outbox says the same."""
    assert {len(messages) for messages in stack.vendor.inbox().values()} == {1}
    assert count == len(stack.vendor.inbox())
    assert count == stack.number("select count(*) from worker_jobs where state = 2")
    assert count == stack.number("select count(*) from worker_receipts")


@on_stacks(*WITH_A_BROKER, why="four worker processes")
def test_two_relays_and_four_workers_send_nothing_twice(make: Make) -> None:
    """Four workers, each with a relay, race for 200 jobs: each is sent once, by more than one process."""
    stack = make({"latency_s": 0.05})
    workers = [stack.worker(threads=4) for _ in range(4)]
    until(lambda: stack.rows("select 1 from worker_processes having count(*) = 4"), "all four are alive")
    enqueue_texts(stack, 200)
    stack.until_settled()

    assert_each_once(stack, 200)
    assert stack.number("select count(distinct incarnation) from worker_attempts") > 1
    assert [stack.end(worker) for worker in workers] == [0, 0, 0, 0]


@on_stacks()
def test_400_jobs_of_one_transaction_are_all_sent(make: Make) -> None:
    """400 enqueued in one transaction: exactly 400 calls and 400 receipts, from enqueue to receipt."""
    count = 400
    stack = make(bare=True)
    jobs = enqueue_texts(stack, count)
    stack.worker(threads=32)

    stack.until_settled()

    counts = stack.vendor.get("counts")["counts"]
    assert (count, 1) == (counts["/cgi-bin/message/send"], counts["/cgi-bin/gettoken"])
    figures = "select count(*), count(distinct part_id), count(distinct msgid) from worker_receipts"
    assert [(count,) * 3] == stack.rows(figures)
    assert [(count,) * 2] == stack.rows("select count(*), count(distinct part_id) from worker_attempts")
    assert set(jobs) == {row[0] for row in stack.rows("select id from worker_jobs where state = 2")}


@on_stacks(RABBITMQ, why="a call's deadline is the process's own", duplicate_check=[True, False])
def test_a_drip_past_the_deadline_is_no_duplicate(make: Make, duplicate_check: bool) -> None:
    """An answer that drips past the call's deadline leaves an unknown: repeated where that is safe, else held."""
    stack = make()
    drip = {"drip": {"bytes": 1, "every_s": 0.3}}
    stack.vendor.faults({"match": {"path": SEND, "nth": 1}, "times": 1, "action": drip})
    [job] = enqueue_texts(stack, 1, duplicate_check=duplicate_check)
    stack.worker(threads=2)

    stack.until_settled()

    assert [len(messages) for messages in stack.vendor.inbox().values()] == [1]
    expected = (2, 2) if duplicate_check else (6, 1)
    query = "select state, (select count(*) from worker_attempts) from worker_jobs where id = :id"
    assert expected == tuple(stack.rows(query, id=job)[0])


@on_stacks(RABBITMQ, why="it needs another process; what that one writes is tried on each database in process")
def test_a_stopped_process_reads_the_answer_that_is_there(make: Make) -> None:
    """A process stopped past its lease and deadline goes on: its late answer is in the receipt, nothing is doubled."""
    stack = make({"latency_s": 2.0})
    [job] = enqueue_texts(stack, 1, duplicate_check=False)
    first = stack.worker(threads=2)
    until(lambda: stack.vendor.sends() == 1, "the call is out")
    first.send_signal(signal.SIGSTOP)
    stack.worker(threads=2)
    until(lambda: stack.number("select count(*) from worker_parts where state = 6"), "the other one calls it unknown")
    # Held, and the deadline is over: now it goes on.
    until(lambda: not stack.unsettled(), "its policy has acted")

    first.send_signal(signal.SIGCONT)
    until(lambda: stack.number("select count(*) from worker_receipts where msgid is not null"), "the late answer")

    assert [len(messages) for messages in stack.vendor.inbox().values()] == [1]
    assert stack.rows("select state from worker_jobs where id = :id", id=job) == [(2,)]


@on_stacks(
    MARIADB,
    why="it needs another process; what that one writes is tried on each database in process",
    duplicate_check=[True, False],
)
def test_a_process_stopped_between_mark_and_first_byte_sends_nothing_late(make: Make, duplicate_check: bool) -> None:
    """Stopped right after its mark and resumed when others have called it dead: its call does not leave any more."""
    stack = make()
    [job] = enqueue_texts(stack, 1, duplicate_check=duplicate_check)
    first = stack.process("rig.crash.worker", "after_mark", "1", "2", "STOP")
    until(lambda: _is_stopped(first.pid), "it stopped itself")
    assert stack.number("select state from worker_parts") == 1
    assert stack.vendor.sends() == 0
    stack.worker(threads=2)
    until(lambda: stack.number("select count(*) from worker_attempts where doubtful"), "it is called dead")
    until(lambda: not stack.unsettled(), "the policy has acted")
    sent = stack.vendor.sends()

    first.send_signal(signal.SIGCONT)
    lives = "select count(*) from worker_processes where pid = :pid"
    until(lambda: stack.number(lives, pid=first.pid) == 2, "it lives again, under a new name")
    assert stack.end(first) == 0, "a drain: whatever it had in hand is over"
    stack.until_settled()

    assert int(duplicate_check) == sent, "repeated where that is safe, else held"
    assert stack.vendor.sends() <= 1, "a late process sends nothing; what certainly never left may still go once"
    assert all(len(messages) == 1 for messages in stack.vendor.inbox().values())
    seen, (state,) = len(stack.vendor.inbox()), stack.rows("select state from worker_jobs where id = :id", id=job)[0]
    assert (seen, state) in ((1, 2), (0, 6)), "sent once, or in doubt by name"


def _is_stopped(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "T"
