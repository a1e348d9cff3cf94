"""How much of a lane is offered: the threads alive, shared evenly, a quarter for slow ones."""

from __future__ import annotations

import json

import pytest

from worker.delivery.sharing import Share, Sharing
from worker.outbox.processes import Process


def a_process(threads: int = 32, *, fresh: bool = True, **latency_ms: int) -> Process:
    lanes = json.dumps({lane.replace("_", ":"): [1, milliseconds] for lane, milliseconds in latency_ms.items()})
    return Process("p", 0, threads, lanes, fresh)


def sharing(*processes: Process) -> Sharing:
    made = Sharing()
    made.learn(processes)
    return made


@pytest.mark.parametrize(("lanes", "threads"), [(1, 30), (2, 15), (7, 4), (100, 1)])
def test_lanes_share_the_threads_evenly(lanes: int, threads: int) -> None:
    """Alone: all but two; else an even part, and never nothing."""
    assert threads == sharing(a_process()).of("hr:1", lanes).threads


def test_threads_of_all_living_processes_count() -> None:
    """A dead process's threads are nobody's."""
    assert 62 == sharing(a_process(), a_process(), a_process(fresh=False)).of("hr:1", 1).threads


def test_with_nobody_alive_the_last_known_count_stays() -> None:
    """Between two heartbeats after a pause the shares do not fall to nothing."""
    made = sharing(a_process(8))

    made.learn([a_process(8, fresh=False)])

    assert 6 == made.of("hr:1", 1).threads


def test_a_slow_lane_gets_a_quarter() -> None:
    """Over a second a call: a vendor that hangs cannot hold all threads; the slowest report counts."""
    made = sharing(a_process(hr_1=1_001, hr_2=1_000), a_process(hr_1=10))

    assert (15, 62) == (made.of("hr:1", 1).threads, made.of("hr:2", 1).threads)


@pytest.mark.parametrize(("latency_ms", "size"), [(0, 50), (5, 50), (20, 50), (100, 10), (600, 1), (30_000, 1)])
def test_a_doorbell_lasts_about_a_second(latency_ms: int, size: int) -> None:
    """As many ids as a second's work, fifty at most, one at least."""
    assert size == sharing(a_process(hr_1=latency_ms)).of("hr:1", 1).size


def test_the_window_holds_one_doorbell_in_work_and_one_behind_it() -> None:
    """No thread runs dry between two turns, and the broker's queue stays short."""
    share = sharing(a_process(4, hr_1=100)).of("hr:1", 1)

    assert (Share(10, 40, 10, 2)) == share


@pytest.mark.parametrize(("ids", "size"), [(1, 1), (3, 2), (4, 2), (19, 10), (40, 10), (0, 1)])
def test_few_are_spread_and_many_fill_doorbells(ids: int, size: int) -> None:
    """Two threads: three ids are two doorbells, forty are four full ones."""
    assert size == Share(10, 40, 10, 2).doorbell(ids)
