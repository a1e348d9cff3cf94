"""The counters and histograms for Prometheus, out of the sums of what transactions counted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar as OfACall,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    Timestamp,
)

from worker.outbox.commit.record_answer import BUCKET_BOUNDS
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.counting import BETWEEN, Exemplar
from worker.outbox.engine.migrate import this_release

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "attempts": ("Calls that ended, as the timeline has them.", ("channel", "account", "kind", "outcome", "errcode")),
    "late_answers": ("Answers to calls that were in doubt before.", ("channel", "account", "outcome")),
    "parts_ended": ("Parts that came to an end.", ("channel", "account", "kind", "state")),
    "unknowns": ("Times that a part came to be in doubt.", ("channel", "account", "kind")),
    "token_fetches": ("Fetches of tokens that ended.", ("account", "outcome")),
    "callbacks": ("Callbacks that were taken.", ("account", "outcome")),
    "callbacks_refused": ("Callbacks that were refused, by the status of the answer.", ("account", "status")),
    "hook_runs": ("Runs of the application's hooks that ended.", ("kind", "outcome")),
    "lane_events": ("Steps of lanes and accounts.", ("account", "what")),
    "drift": ("Answers that do not look as the vendor's page says.", ("channel", "sort")),
    "events_dropped": ("Events for Flower that a slow broker did not take.", ()),
}
"""Name, without `worker_` and `_total`, -> what it counts, and its labels."""
HISTOGRAMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "first_call_seconds": ("From when a part was due to its first call.", ("priority",)),
    "end_seconds": ("From when a part was due to its end.", ("priority",)),
    "call_seconds": ("Calls of which something left.", ("channel",)),
    "commit_items": ("Marks and ends in one commit.", ()),
}
SUM, REST = "sum", "+Inf"


def counters(totals: Mapping[str, int], traced: Mapping[str, Exemplar]) -> Iterator[Metric]:
    """Every counter and histogram; sums under names of a newer release are left out."""
    found: defaultdict[str, dict[tuple[str, ...], int]] = defaultdict(dict)
    calls = {tuple(name.split(BETWEEN)): _exemplar(one) for name, one in traced.items()}
    for name, value in totals.items():
        metric, *labels = name.split(BETWEEN)
        found[metric][tuple(labels)] = value
    for metric, (text, names) in COUNTERS.items():
        told = CounterMetricFamily(f"worker_{metric}", text, labels=names)
        for values, value in sorted(found[metric].items()):
            if len(values) == len(names):
                told.add_metric(values, value)
        yield told
    for metric, (text, names) in HISTOGRAMS.items():
        yield _histogram(metric, text, names, found[metric], calls)


def _histogram(
    metric: str,
    text: str,
    names: tuple[str, ...],
    found: Mapping[tuple[str, ...], int],
    calls: Mapping[tuple[str, ...], OfACall],
) -> Metric:
    told = HistogramMetricFamily(f"worker_{metric}", text, labels=names)
    bounds = [str(bound) for bound in BUCKET_BOUNDS[metric]] + [REST]
    unit = SECOND if metric.endswith("_seconds") else 1
    for labels in sorted({values[:-1] for values in found if len(values) == len(names) + 1}):
        buckets, below = list[tuple[str, float] | tuple[str, float, OfACall]](), 0
        for bound in bounds:
            below += found.get((*labels, bound), 0)
            call = calls.get((metric, *labels, bound))
            buckets.append((bound, below, call) if call else (bound, below))
        told.add_metric(labels, buckets, found.get((*labels, SUM), 0) / unit)
    return told


def _exemplar(one: Exemplar) -> OfACall:
    labels = {"trace_id": one.trace_id, "span_id": one.span_id}
    return OfACall(labels, one.value / SECOND, Timestamp(one.at // SECOND, one.at % SECOND * 1_000))


def build_info() -> Metric:
    """The release of this process, and the newest revision of the tables that it knows."""
    own = this_release()
    told = InfoMetricFamily("worker_build", "The release of the metrics process.")
    told.add_metric((), {"version": own.version, "tables": own.revision})
    return told
