"""What it costs a worker to be watched in every way: its calls a second with everything on, to those with nothing.

On: traces (one call in ten is sampled) to a collector, alerts to people by a URL, and, every fifteen seconds as in
`deploy/` and `docker/`, a scrape of a metrics process and a `worker health`: one of each in a window. Counters, health
and drift are always on. Both sides run in turn, as in `throughput`; the figure is the median of the rounds' ratios.
"""

from __future__ import annotations

import statistics
import threading
from contextlib import AbstractContextManager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

from bench import Figure
from bench.stand.stacks import EMBEDDED, REDIS, STACKS, missing_service
from bench.throughput import ours
from bench.throughput.program import Side, mine_tried, one_round, parser_of, rig_of, settled
from bench.throughput.rig import Rig, Run
from rig.serving import serving
from rig.stack import Stack, until

GOAL = 0.97
EVERY_S = 15.0
SAMPLED = "0.1"


def main(argv: list[str]) -> Figure:
    """All rounds, and the median ratio."""
    parser = parser_of("everything")
    parser.add_argument("--stack", choices=[stack for stack in STACKS if stack != EMBEDDED], default=REDIS)
    options = settled(parser, argv)
    if missing := missing_service((options.stack,)):
        return Figure("everything", f"{missing} does not answer", f"{GOAL}", ok=False)
    with rig_of(options, "everything") as rig, _taking_posts() as address:
        nothing = mine_tried(rig)
        everything = Side(lambda rig, jobs: _watched(rig, jobs, address), nothing.rate)
        sides = {"nothing": nothing, "everything": everything}
        rounds = [one_round(rig, sides, number) for number in range(options.pairs)]
    found = [rates["everything"] / rates["nothing"] for rates in rounds]
    figure = statistics.median(found)
    print(f"everything to nothing: median {figure:.3f} of " + " ".join(f"{one:.3f}" for one in found))
    return Figure("everything", f"{figure:.3f} of the calls", f"{GOAL}", figure >= GOAL)


def _watched(rig: Rig, jobs: int, address: str) -> Run:
    """One run with everything on."""
    ends = threading.Event()

    def start(stack: Stack) -> Any:
        stack.config.write_text(
            f'{stack.config.read_text(encoding="utf-8")}\n[notify]\nto = [{{ url = {{ env = "PAGER_URL" }} }}]\n',
            encoding="utf-8",
        )
        stack.env = {
            **stack.env,
            "PAGER_URL": f"{address}/alerts",
            "OTEL_EXPORTER_OTLP_ENDPOINT": address,
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": SAMPLED,
        }
        worker = stack.worker(threads=rig.threads, loglevel="INFO", options=("-E",))
        metrics = stack.process("worker.cli", "metrics", "--listen", "127.0.0.1:0")
        scraped = _address_of(stack, metrics)
        for act in (lambda: _scrape(scraped, metrics), lambda: _probe(stack)):
            threading.Thread(target=_repeat, args=(act, ends), daemon=True).start()
        return worker

    try:
        found = ours.run(rig, jobs, start)
    finally:
        ends.set()
    return replace(found, name="ours -E, everything on")


def _repeat(act: Any, ends: threading.Event) -> None:
    pause_s = EVERY_S / 2  # the first in the middle of the window
    while not ends.wait(pause_s):
        act()
        pause_s = EVERY_S


def _address_of(stack: Stack, process: Any) -> str:
    log = stack.folder / f"process-{stack.processes.index(process)}.log"
    listening = "metrics listening on "
    until(lambda: listening in log.read_text(encoding="utf-8"), "the metrics are there")
    return next(line for line in log.read_text(encoding="utf-8").splitlines() if listening in line).split()[-1]


def _scrape(address: str, metrics: Any) -> None:
    try:
        answer = requests.get(f"{address}/metrics", headers={"accept": "application/openmetrics-text"}, timeout=30)
    except requests.ConnectionError:
        if metrics.poll() is None:  # else the run is over
            raise
    else:
        answer.raise_for_status()


def _probe(stack: Stack) -> None:
    stack.process("worker.cli", "health").wait()


class _Sink(BaseHTTPRequestHandler):
    """Takes whatever is posted."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def _taking_posts() -> AbstractContextManager[str]:
    """A collector and a pager; their address."""
    return serving(ThreadingHTTPServer(("127.0.0.1", 0), _Sink))
