"""What a scrape is answered while a reading of the outbox is under way."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from worker.service.web.collector import all_metrics
from worker.service.web.metrics import MAX_IDLE_S, STALE_S, LatestMetrics


class HangingOutbox(Collector):
    """Answers once, and then hangs until it is let go."""

    def __init__(self) -> None:
        self.hangs, self.goes_on = threading.Event(), threading.Event()
        self._asked = False

    def collect(self) -> Iterator[Metric]:
        if self._asked:
            self.hangs.set()
            self.goes_on.wait(60)
        self._asked = True
        yield from all_metrics([Metric("worker_processes", "", "gauge")])


def test_a_reading_that_hangs_is_told_as_a_database_that_is_away() -> None:
    """What was read before is given for a while, then it is no longer true; after the reading it is again."""
    clock = [0.0]
    outbox = HangingOutbox()
    answers = LatestMetrics(outbox, lambda: clock[0])
    answers.turn()
    thread = threading.Thread(target=answers.turn)
    thread.start()
    assert outbox.hangs.wait(60)

    told = []
    for clock[0] in (MAX_IDLE_S + STALE_S, MAX_IDLE_S + STALE_S + 1):
        told.append(_is_up(answers))
    outbox.goes_on.set()
    thread.join(60)

    assert [*told, _is_up(answers)] == [True, False, True]


def _is_up(answers: LatestMetrics) -> bool:
    return b"worker_database_up 1.0" in answers.encoded("")[0]
