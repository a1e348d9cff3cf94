"""One process leads at a time, and it is one that can: who cannot publish, or always fails, gives it up."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from rig.stack import ACCOUNT, Stack, until
from rig.stacks import RABBITMQ, WITH_A_BROKER, Make, on_stacks
from tests.process.stuck_worker import RELAY_RAISES
from tests.process.test_services_away import door_to, through
from worker import Text, To, enqueue

SOON_S = 15
"""Seconds within which a text goes out while one process can send."""
WHY = "embedded's broker is in the process itself, which is alone"
LEADER = "select p.pid from worker_leases l join worker_processes p on p.id = l.holder where l.name = 'relay'"
ALIVE = "select count(*) from worker_processes where ended_at is null"


def until_alive(stack: Stack, count: int) -> None:
    """Waits until so many workers have their first heartbeat."""
    until(lambda: stack.number(ALIVE) == count, f"{count} are alive", told=stack.told)


def until_leads(stack: Stack, worker: Any) -> None:
    """Waits until a worker has the relay's lease."""
    until(lambda: [(worker.pid,)] == stack.rows(LEADER), "it leads", told=stack.told)


def enqueue_urgent(stack: Stack) -> str:
    """An urgent text's id."""
    with stack.database.writing() as connection:
        text = Text(content="urgent")
        return enqueue(connection, ACCOUNT, text, To(users=["u"]), accounts=stack.accounts, priority="urgent").id


def sent_within_s(stack: Stack) -> float:
    """Enqueues an urgent text and waits for it; the seconds from its commit to its acceptance."""
    job = enqueue_urgent(stack)
    took = "select finished_at - created_at from worker_jobs where id = :id and state = 2"
    ((microseconds,),) = until(lambda: stack.rows(took, id=job), "the text is accepted", 60, told=stack.told)
    return int(microseconds) / 1e6


def until_nobody_leads(stack: Stack) -> None:
    """Waits until no process has the relay's lease."""
    held = f"select count(*) from worker_leases where name = 'relay' and held_until > {stack.database.now}"
    until(lambda: not stack.number(held), "no process leads", 60, told=stack.told)


def without_broker(make: Make) -> dict[str, str]:
    """The environment of a worker whose broker is where nobody is."""
    scheme = make.broker.partition(":")[0]
    return {"WORKER_BROKER": f"{scheme}://127.0.0.1:1"}


@on_stacks(*WITH_A_BROKER, why=WHY)
def test_a_worker_that_never_reached_its_broker_does_not_keep_the_relay(make: Make) -> None:
    """It was there first and alone; a second one that reaches its broker leads, and sends what comes in its time."""
    stack = make()
    stack.worker(threads=4, env=without_broker(make))
    until_alive(stack, 1)
    worker = stack.worker(threads=4)
    until_alive(stack, 2)

    assert sent_within_s(stack) < SOON_S
    until_leads(stack, worker)


@on_stacks(*WITH_A_BROKER, why=WHY)
def test_a_leader_that_is_cut_from_its_broker_gives_the_relay_back(make: Make) -> None:
    """In the middle of its work; the other worker leads, and keeps the lease when the first one has its broker back."""
    with closing(door_to(make.broker)) as door:
        stack = make()
        cut = stack.worker(threads=4, env={"WORKER_BROKER": through(door, make.broker)})
        until_leads(stack, cut)
        worker = stack.worker(threads=4)
        until_alive(stack, 2)
        sent_within_s(stack)

        door.shut()

        assert sent_within_s(stack) < SOON_S
        until_leads(stack, worker)
        door.open()
        assert sent_within_s(stack) < SOON_S
        assert [(worker.pid,)] == stack.rows(LEADER)


@on_stacks(RABBITMQ, why="its turns fail before it comes to database or broker")
def test_a_leader_whose_turns_all_fail_gives_the_relay_up(make: Make) -> None:
    """By an error that nobody foresaw; two of them do not hand the lease to each other past one that can."""
    stack = make()
    failing = [stack.process("tests.process.stuck_worker", str(make.folder), RELAY_RAISES, "4") for _ in range(2)]
    until_alive(stack, 2)
    (make.folder / "armed").touch()
    until((make.folder / "stopped").exists, "a turn fails")

    worker = stack.worker(threads=4)
    until_alive(stack, 3)

    assert sent_within_s(stack) < SOON_S
    until_leads(stack, worker)
    assert [process.poll() for process in failing] == [None, None]


@on_stacks(*WITH_A_BROKER, why=WHY)
def test_of_two_workers_without_a_broker_the_one_that_gets_it_back_leads(make: Make) -> None:
    """Whichever of them led before, and what came meanwhile goes out, too."""
    with closing(door_to(make.broker)) as door, closing(door_to(make.broker)) as other:
        stack = make()
        workers = [stack.worker(threads=4, env={"WORKER_BROKER": through(one, make.broker)}) for one in (door, other)]
        until_alive(stack, 2)
        sent_within_s(stack)
        for one in (door, other):
            one.shut()
        # They notice it when they next publish.
        enqueue_urgent(stack)
        until_nobody_leads(stack)

        other.open()

        assert sent_within_s(stack) < SOON_S
        until_leads(stack, workers[1])
        stack.until_settled()
