"""docs/performance.md says what the formulas of the bench say."""

from __future__ import annotations

import re

from bench.capacity import model
from tests.docs.page import ROOT
from worker.console import app as console
from worker.service.web.receiver import THREADS

PAGE = (ROOT / "docs/performance.md").read_text(encoding="utf-8")
KINDS = tuple(model.PER_JOB)


def _row(name: str) -> list[str]:
    [found] = re.findall(rf"^\| {re.escape(name)} \| (.*) \|$", PAGE, re.MULTILINE)
    return str(found).split(" | ")


def test_the_tables_have_the_constants() -> None:
    """Of disk and of the processor, for each database."""
    for name in ("job", "term", "attempt", "body"):
        assert [f"{getattr(model.PER_JOB[kind], name):,}" for kind in KINDS] == _row(name)[:3]
    assert [f"{model.PER_JOB[kind].worker_cpu}" for kind in KINDS] == _row("worker")
    assert [f"{model.PER_JOB[kind].server_cpu}" for kind in KINDS[:2]] == _row("database and broker")[:2]


def test_the_examples_are_what_the_formulas_give() -> None:
    """Disk for a million jobs, with what the retention keeps or all there is; the processors of 500 jobs a second."""
    kept = {"jobs_days": 90, "attempts_days": 30}
    once = dict.fromkeys(kept, 1)

    worker, servers = model.cores("postgres", 500)

    assert [f"{model.disk_gb(kind, 1_000_000, **once):.1f} GB" for kind in KINDS] == _row(
        "a million jobs, with all there is of each"
    )
    assert [f"{model.disk_gb(kind, 1_000_000, **kept):.0f} GB" for kind in KINDS] == _row(
        "a million jobs a day, the default retention"
    )
    assert f"has {model.TERMS} of them" in PAGE
    assert f"{worker:.2f} and {servers:.2f} busy" in _on_one_line(PAGE)


def test_memory_and_connections_are_those_of_the_formulas() -> None:
    """A process's own, its threads', and what is left for accounts and lanes."""
    assert f"{model.BASE_MIB} MiB + {model.THREAD_MIB} MiB * threads\n" in PAGE
    assert f"64 threads that is {model.memory_mib(64):.0f} MiB" in PAGE
    assert f"add at most {model.MORE_MIB} MiB" in PAGE
    assert [model.connections(kind, 64) for kind in KINDS[:2]] == [64 + 8, 2 * (64 + 8)]
    assert _row("worker, PostgreSQL") == ["threads + 8"]
    assert _row("worker, MariaDB") == ["2 * (threads + 8)"]
    assert [f"{THREADS} (twice on MariaDB)"] == _row("`worker receiver`")
    assert [f"{console.THREADS} (twice on MariaDB)"] == _row("`worker console`")


def test_tolerances_are_named() -> None:
    """A reader learns how near the bench has to come."""
    tolerance = {name: f"{share:.0%}" for name, share in model.TOLERANCE.items()}

    assert f"disk {tolerance['disk']}, memory {tolerance['memory']}" in PAGE
    assert f"at most {tolerance['CPU']} more" in PAGE


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
