"""The counters and histograms for Prometheus, from the sums that transactions add up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from prometheus_client.core import (
    CounterMetricFamily,
    Exemplar as MetricExemplar,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    Timestamp,
)

from worker.outbox.commit.record_answer import BUCKET_BOUNDS
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.counting import SEPARATOR, Exemplar
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
    "messages_dropped": ("Messages in the broker that no worker could read.", ()),
    "events_dropped": ("Events for Flower that a slow broker did not take.", ()),
}
"""Name without `worker_` and `_total` to what it counts and its labels."""
HISTOGRAMS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "first_call_seconds": ("From when a part was due to its first call.", ("priority",)),
    "end_seconds": ("From when a part was due to its end.", ("priority",)),
    "call_seconds": ("Calls of which something left.", ("channel",)),
    "commit_items": ("Marks and ends in one commit.", ()),
}
SUM, INFINITY = "sum", "+Inf"


def counters(totals: Mapping[str, int], exemplars: Mapping[str, Exemplar]) -> Iterator[Metric]:
    """Yields every counter and histogram. Sums with names of a newer release are skipped."""
    sums: defaultdict[str, dict[tuple[str, ...], int]] = defaultdict(dict)
    calls = {tuple(name.split(SEPARATOR)): _exemplar(exemplar) for name, exemplar in exemplars.items()}
    for name, value in totals.items():
        metric, *labels = name.split(SEPARATOR)
        sums[metric][tuple(labels)] = value
    for metric, (text, names) in COUNTERS.items():
        family = CounterMetricFamily(f"worker_{metric}", text, labels=names)
        for values, value in sorted(sums[metric].items()):
            if len(values) == len(names):
                family.add_metric(values, value)
        yield family
    for metric, (text, names) in HISTOGRAMS.items():
        yield _histogram(metric, text, names, sums[metric], calls)


def _histogram(
    metric: str,
    text: str,
    names: tuple[str, ...],
    sums: Mapping[tuple[str, ...], int],
    calls: Mapping[tuple[str, ...], MetricExemplar],
) -> Metric:
    family = HistogramMetricFamily(f"worker_{metric}", text, labels=names)
    bounds = [str(bound) for bound in BUCKET_BOUNDS[metric]] + [INFINITY]
    unit = SECOND if metric.endswith("_seconds") else 1
    for labels in sorted({values[:-1] for values in sums if len(values) == len(names) + 1}):
        buckets, below = list[tuple[str, float] | tuple[str, float, MetricExemplar]](), 0
        for bound in bounds:
            below += sums.get((*labels, bound), 0)
            call = calls.get((metric, *labels, bound))
            buckets.append((bound, below, call) if call else (bound, below))
        family.add_metric(labels, buckets, sums.get((*labels, SUM), 0) / unit)
    return family


def _exemplar(exemplar: Exemplar) -> MetricExemplar:
    labels = {"trace_id": exemplar.trace_id, "span_id": exemplar.span_id}
    return MetricExemplar(
        labels, exemplar.value / SECOND, Timestamp(exemplar.at // SECOND, exemplar.at % SECOND * 1_000)
    )


def build_info() -> Metric:
    """Returns the release of this process and the newest table revision that it knows."""
    release = this_release()
    family = InfoMetricFamily("worker_build", "The release of the metrics process.")
    family.add_metric((), {"version": release.version, "tables": release.revision})
    return family
