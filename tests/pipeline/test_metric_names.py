"""Every metric and label that dashboards and rules name is one that `worker metrics` serves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import pytest

from tests.pipeline.test_metrics import Scraper
from tests.support.promql import expressions, legends, names_in
from tests.support.runtime import planted
from worker import JobFilter
from worker.control.pause import pause
from worker.outbox.commit.record_answer import BUCKET_BOUNDS
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.counting import count
from worker.outbox.engine.database import Database
from worker.service.web.counters import COUNTERS, HISTOGRAMS, SUM

Served = Mapping[str, set[str]]


@pytest.fixture
def served(database: Database, driven_clock: DrivenClock) -> Served:
    """Each series' name with its labels, out of a scrape of an outbox with work."""
    with planted(database, driven_clock) as site:
        site.send()
        site.run()
        pause(JobFilter(account="hr"), person="ann", why="a test", database=database)
        with database.writing() as connection:
            for name, (_, labels) in COUNTERS.items():
                count(connection, name, *labels)
            for name, (_, labels) in HISTOGRAMS.items():
                count(connection, name, *labels, str(BUCKET_BOUNDS[name][0]))
                count(connection, name, *labels, SUM)
        samples = Scraper(site).scrape().samples
    found: defaultdict[str, set[str]] = defaultdict(set)
    for name, labels in samples:
        found[name] |= {label for label, _ in labels}
    return found


@pytest.mark.fewer_databases("the names of metrics are Python's, whatever the database")
def test_every_name_in_rules_and_dashboards_exists(served: Served) -> None:
    """Histograms by their buckets, sums and counts."""
    wrong = [
        f"{where}: {name}{sorted(labels)}"
        for where, expression in expressions()
        for name, labels in names_in(expression).items()
        if name not in served or not labels <= served[name]
    ]

    assert wrong == []


@pytest.mark.fewer_databases("the names of metrics are Python's, whatever the database")
def test_every_legend_is_made_of_labels_that_its_series_have(served: Served) -> None:
    """Grafana would show an empty word otherwise."""
    wrong = [
        f"{where}: {sorted(words)}"
        for where, names, words in legends()
        if not all(words <= served[name] for name in names)
    ]

    assert wrong == []


@pytest.mark.fewer_databases("the names of metrics are Python's, whatever the database")
def test_every_metric_is_on_a_dashboard_or_in_a_rule(served: Served) -> None:
    """What nothing shows is not looked at."""
    named = {name for _, expression in expressions() for name in names_in(expression)}

    assert {_family(name) for name in served} - {_family(name) for name in named} == set()


def _family(name: str) -> str:
    return name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
