"""How much of a lane is offered: the threads alive, shared evenly, a quarter for slow ones."""

from __future__ import annotations

import doctest
from collections.abc import Iterable

import pytest
from hypothesis import given, strategies as st

from worker.delivery.scheduler import lane_quota
from worker.delivery.scheduler.fair_share import ThreadShares
from worker.delivery.scheduler.lane_quota import LaneQuota
from worker.outbox.lanes.offering import DueBatch
from worker.outbox.lanes.processes import ALL_QUEUES, Process, QueueName


def a_process(
    threads: int = 32, *, fresh: bool = True, queues: Iterable[str] = ALL_QUEUES, **lanes_ms: tuple[int, int]
) -> Process:
    """`hr_1=(20, 30)`: a call of the lane hr:1 takes 20 ms, a part's whole way 30."""
    lanes = {lane.replace("_", ":"): [1, *milliseconds] for lane, milliseconds in lanes_ms.items()}
    return Process("p", 0, threads, lanes, fresh, frozenset(queues))


def a_head(ids: int, offered: int = 0) -> DueBatch:
    return DueBatch([f"p{n}" for n in range(ids)], [f"o{n}" for n in range(offered)])


def sharing(*processes: Process) -> ThreadShares:
    made = ThreadShares()
    made.update(processes)
    return made


def test_the_examples_of_the_formula_are_right() -> None:
    """A reader may predict an offer with them."""
    assert doctest.testmod(lane_quota) == (0, 7)


@pytest.mark.parametrize(("lanes", "threads"), [(1, 30), (2, 15), (7, 4), (100, 1)])
def test_lanes_share_the_threads_evenly(lanes: int, threads: int) -> None:
    """Alone: all but two; else an even part, and never nothing."""
    assert threads == sharing(a_process()).quota("hr:1", lanes).threads


def test_threads_of_all_living_processes_count() -> None:
    """A dead process's threads are nobody's."""
    assert sharing(a_process(), a_process(), a_process(fresh=False)).quota("hr:1", 1).threads == 62


def test_with_nobody_alive_the_last_known_count_stays() -> None:
    """Between two heartbeats after a pause the shares do not fall to nothing."""
    made = sharing(a_process(8))

    made.update([a_process(8, fresh=False)])

    assert made.quota("hr:1", 1).threads == 6


def test_a_slow_lane_gets_a_quarter() -> None:
    """Over a second a call: a vendor that hangs cannot hold all threads; the slowest report counts."""
    made = sharing(a_process(hr_1=(1_001, 0), hr_2=(1_000, 5_000)), a_process(hr_1=(10, 10)))

    assert (made.quota("hr:1", 1).threads, made.quota("hr:2", 1).threads) == (15, 62)


def test_only_threads_that_take_from_a_queue_count_for_it() -> None:
    """32 for urgent parts alone and 4 for all: what is normal has 4, what is urgent 36."""
    made = sharing(a_process(32, queues=["urgent"], hr_1=(20_000, 20_000)), a_process(4))

    assert [made.threads(queue=queue) for queue in (QueueName.NORMAL, QueueName.BULK, QueueName.URGENT)] == [2, 2, 34]
    assert (2, 34 * 50 // 2) == (made.quota("hr:2", 1).threads, made.quota("hr:2", 1).urgent_window)
    assert LaneQuota(1, 2, 4, 1) == made.quota("hr:1", 1)


def test_files_and_bulk_have_the_threads_of_normal_parts_unless_other_workers_take_them() -> None:
    """Nobody takes files; bulk has workers of its own; where all take everything, there is one queue but in name."""
    made = sharing(a_process(32, queues=["bulk"]), a_process(4, queues=["urgent", "normal"]))

    assert [made.served_queue(queue) for queue in (QueueName.FILES, QueueName.BULK)] == [
        QueueName.NORMAL,
        QueueName.BULK,
    ]
    assert (
        made.quota("hr:1", 1).threads,
        made.quota("hr:1", 1, queue=made.served_queue(QueueName.BULK)).threads,
    ) == (2, 30)
    made.update([a_process(32), a_process(4)])
    assert {made.served_queue(queue) for queue in QueueName} == {QueueName.NORMAL}


def test_a_queue_that_nobody_takes_has_one_thread() -> None:
    """What stands in its queue is taken when somebody comes; more of it would only stand there."""
    assert sharing(a_process(32, queues=["urgent"])).quota("hr:1", 1).threads == 1


@pytest.mark.parametrize(("cycle_ms", "size"), [(0, 50), (5, 50), (20, 50), (100, 10), (600, 1), (30_000, 1)])
def test_a_doorbell_lasts_about_a_second(cycle_ms: int, size: int) -> None:
    """As many ids as a second's work of a thread, fifty at most, one at least; the slowest report counts."""
    made = sharing(a_process(hr_1=(3, cycle_ms)), a_process(hr_1=(900, min(cycle_ms, 5))))

    assert size == made.quota("hr:1", 1).size


def test_the_window_holds_one_doorbell_in_work_and_one_behind_it() -> None:
    """No thread runs dry between two turns, and the broker's queue stays short."""
    share = sharing(a_process(4, hr_1=(90, 100))).quota("hr:1", 1)

    assert LaneQuota(10, 40, 10, 2, calls_per_doorbell=1) == share


CALLS = [((3,), 1), ((4,), 1), ((32,), 15), ((64,), 31), ((200,), 64), ((32, 32), 16), ((32, 32, 32, 32), 16)]


@pytest.mark.parametrize(("threads", "calls"), CALLS)
def test_each_process_gets_two_doorbells(threads: tuple[int, ...], calls: int) -> None:
    """One prepares and marks while the other waits for its answers; 64 calls in one at most."""
    assert calls == sharing(*map(a_process, threads)).quota("hr:1", 1).calls_per_doorbell


def test_a_lane_that_a_limit_closed_has_one_doorbell_for_each_process() -> None:
    """Threads keep no order between doorbells, so what is urgent would wait behind what the other one took."""
    assert sharing(a_process(64)).quota("hr:1", 1, limit=100).calls_per_doorbell == 62


def test_no_thread_gets_more_than_1600_ids_at_once() -> None:
    """Also where one doorbell takes the place of two: 33 threads each are 17 calls, and then 34."""
    quota = sharing(a_process(34), a_process(34)).quota("hr:1", 1, limit=100_000)

    assert quota.calls_per_doorbell == 34
    assert 34 * quota.size <= 1_600


FEW_AND_MANY = [(0, []), (1, [1]), (3, [2, 1]), (4, [2, 2]), (19, [10, 9]), (25, [10, 10, 5]), (40, [10] * 4)]


@pytest.mark.parametrize(("ids", "sizes"), FEW_AND_MANY)
def test_few_are_spread_and_many_fill_doorbells(ids: int, sizes: list[int]) -> None:
    """Two threads: three ids are two doorbells, forty are four full ones; every id rings once, in order."""
    head = a_head(ids)

    doorbells = LaneQuota(10, 40, 10, 2).split(head, 40)

    assert sizes == [len(doorbell) for doorbell in doorbells]
    assert head.ids == [part for doorbell in doorbells for part in doorbell]


HALF_OUT = [(19, 19, [10, 9]), (20, 19, [10]), (20, 20, [10, 10]), (20, 9, []), (19, 9, [5, 4]), (40, 0, [])]


@pytest.mark.parametrize(("offered", "ids", "sizes"), HALF_OUT)
def test_while_half_the_window_is_out_only_full_doorbells_ring(offered: int, ids: int, sizes: list[int]) -> None:
    """The threads have work, so a remainder may wait for more; below half of it nothing waits."""
    head = a_head(ids, offered)

    doorbells = LaneQuota(10, 40, 10, 2).split(head, 40)

    assert sizes == [len(doorbell) for doorbell in doorbells]
    assert head.ids[: sum(sizes)] == [part for doorbell in doorbells for part in doorbell]


@pytest.mark.parametrize(("size", "threads"), [(1, 1), (1, 7), (10, 1), (50, 30)])
def test_an_id_never_waits_for_company_that_cannot_come(size: int, threads: int) -> None:
    """Whatever the share: with nothing out, all of the window's ids ring; none is held back for ever."""
    share = LaneQuota(size, threads * size * 2, max(size, threads * size // 2), threads)

    for window in (share.window, share.urgent_window):
        for ids in range(1, window + 1):
            assert ids == sum(len(doorbell) for doorbell in share.split(a_head(ids), window))


@pytest.mark.parametrize("size", [1, 2, 3, 10, 50])
def test_bulk_gets_a_tenth_of_a_full_lane(size: int) -> None:
    """However small its doorbells are: in any hundred parts that are offered in a row, over many rounds of them."""
    share, credit, offered = LaneQuota(size, 24 * size, 6 * size, 12), 0, ""
    normal = DueBatch([f"n{n}" for n in range(share.window)], [])
    bulk = DueBatch([f"b{n}" for n in range(share.bulk_window(share.window))], [])

    while len(offered) < 1_000:
        bells = share.split_mixed(normal, bulk, credit)[:3]
        credit = bells[-1][1]
        offered += "".join(part[0] for ids, _ in bells for part in ids)

    assert {offered[at : at + 100].count("b") for at in range(len(offered) - 100)} == {10}


def test_bulk_takes_what_normal_parts_leave() -> None:
    """Without normal parts it has the whole window."""
    share = LaneQuota(10, 40, 10, 2)

    bells = share.split_mixed(a_head(0), a_head(40), 1)

    assert (share.bulk_window(0), share.bulk_window(5), share.bulk_window(40)) == (40, 35, 4)
    assert [len(ids) for ids, _ in bells] == [10] * 4


@given(st.integers(0, 300), st.integers(0, 60), st.integers(0, 8))
def test_what_is_mixed_stays_whole_and_in_order(normal: int, bulk: int, credit: int) -> None:
    """Every id once; normal parts among themselves, and bulk among itself, in the order of their time."""
    heads = DueBatch([f"n{n}" for n in range(normal)], []), DueBatch([f"b{n}" for n in range(bulk)], [])

    bells = LaneQuota(10, 240, 60, 12).split_mixed(*heads, credit, patient=False)

    mixed = [part for ids, _ in bells for part in ids]
    for head in heads:
        assert head.ids == [part for part in mixed if part in set(head.ids)]
