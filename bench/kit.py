"""What tests with the kit cost: three stories many times over, and the quickstart's suite, by pytest on its own.

`--commands ROUNDS` measures instead what a command of `worker` takes from its start to its end, and the import that
enqueues, each beside an import of what it cannot do without. The slowest command counts, and that import.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles

from bench import Figure

GOAL_MS, GOAL_S = 50.0, 5.0
TESTS = 100
GOAL_COMMAND, GOAL_IMPORT = 2.2, 1.5
"""By how much more processor time a command takes than `BARE_COMMAND`, and `IMPORT` than `BARE_IMPORT`."""
BARE_COMMAND = "import sqlalchemy, typer"
IMPORT, BARE_IMPORT = "from worker import Text, To, enqueue", "import sqlalchemy.orm, pydantic"
SETTINGS = """
[accounts.hr]
channel = "wecom_app"
corpid = "wwabcdef0123456789"
agentid = 1000002
secret = { file = "worker.toml" }
"""
QUICKSTART = Path(__file__).resolve().parents[1] / "docs" / "quickstart.md"
ITS_FILES = re.compile(r"^```\w+\n# ([\w.]+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
PLUGIN = ("-p", "no:im-delivery-worker", "-p", "worker_simulator.testing.plugin")
PYTEST = (sys.executable, "-m", "pytest", "-q", *PLUGIN, "-p", "no:cacheprovider", "--basetemp=.tmp")
HOOKS = """
from worker import CardUpdate, on_card_action, update_card

@on_card_action
def decided(action, session):
    update_card(session, action.job_id, CardUpdate(replace_name="done"), [action.person])
"""
STORIES = """
import pytest
from sqlalchemy.orm import Session
from worker import Button, ButtonCard, MainTitle, Text, enqueue, sqlite_engine
from worker_simulator.testing.outbox import open_outbox

@pytest.fixture(scope="session")
def worker_settings():
    return {{"hooks": "hooks"}}

@pytest.fixture(scope="session")
def engine(tmp_path_factory):
    return sqlite_engine(f"sqlite:///{{tmp_path_factory.mktemp('own')}}/own.db")

@pytest.mark.parametrize("n", range({tests}))
def test_text(n, outbox, deliver, inbox):
    with outbox.session() as session:
        enqueue(session, "hr", Text(content="hello"), ["lisi"])
    deliver()
    assert len(inbox("lisi")) == 1

@pytest.mark.parametrize("n", range({tests}))
def test_press(n, outbox, deliver, inbox, press):
    card = ButtonCard(main_title=MainTitle(title="leave"), button_list=[Button(text="ok", key="ok")])
    with outbox.session() as session:
        enqueue(session, "hr", card, ["lisi"])
    deliver()
    press("lisi", "ok")
    assert inbox("lisi")[0].update

@pytest.mark.parametrize("n", range({tests}))
def test_rollback(n, engine, tmp_path, worker_settings):
    with engine.connect() as connection, connection.begin() as whole:
        with open_outbox(lambda _: tmp_path, connection, worker_settings) as outbox:
            enqueue(connection, "hr", Text(content="hello"), ["lisi"])
            outbox.deliver()
            assert len(outbox.inbox("lisi")) == 1
        whole.rollback()
"""


def main(argv: list[str]) -> Figure:
    """Runs each story `--tests` times, without the first, which warms up, and the quickstart's suite three times.

    The slowest story's median is judged, and of the suite the median from the command to its end.
    """
    parser = argparse.ArgumentParser(prog="python -m bench kit")
    parser.add_argument("--tests", type=int, default=TESTS)
    parser.add_argument("--commands", type=int, default=0, metavar="ROUNDS", help="instead: rounds of short commands")
    options = parser.parse_args(argv)
    if options.commands:
        return commands(options.commands)
    with tempfile.TemporaryDirectory(prefix="bench-kit-") as folder:
        found = run(Path(folder), options.tests)
    with tempfile.TemporaryDirectory(prefix="bench-kit-") as folder:
        suite_s = median(run_quickstart(Path(folder)) for _ in range(3))
    for name, times in found.items():
        p95 = quantiles(times, n=20)[-1]
        print(f"{name}: p50 {median(times):.1f} ms, p95 {p95:.1f} ms of {len(times)}")
    slowest = max(median(times) for times in found.values())
    figure = f"{slowest:.1f} ms a test, {suite_s:.1f} s the quickstart's suite"
    return Figure("kit", figure, f"{GOAL_MS:.0f} ms, {GOAL_S:.0f} s", ok=slowest <= GOAL_MS and suite_s <= GOAL_S)


def run(folder: Path, tests: int) -> dict[str, list[float]]:
    """Story -> milliseconds of each of its tests, fixtures included."""
    (folder / "hooks.py").write_text(HOOKS, encoding="utf-8")
    (folder / "test_stories.py").write_text(STORIES.format(tests=tests), encoding="utf-8")
    subprocess.run([*PYTEST, "--junit-xml", "found.xml"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    found: dict[str, list[float]] = {}
    for case in ElementTree.parse(folder / "found.xml").iter("testcase"):
        found.setdefault(case.attrib["name"].partition("[")[0], []).append(float(case.attrib["time"]) * 1000)
    return {name: times[1:] for name, times in found.items()}


def run_quickstart(folder: Path) -> float:
    """Seconds that the page's suite takes, Python's start and all imports included."""
    for name, text in ITS_FILES.findall(QUICKSTART.read_text(encoding="utf-8")):
        (folder / name).write_text(text, encoding="utf-8")
    began = time.perf_counter()
    subprocess.run(PYTEST, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def commands(rounds: int) -> Figure:
    """Runs all one after the other, so many times; a ratio is that of one round, and the median of all is judged."""
    with tempfile.TemporaryDirectory(prefix="bench-commands-") as folder:
        programs = _programs(Path(folder))
        took = [{name: _seconds(words, folder) for name, words in programs.items()} for _ in range(rounds)]
    ratios: dict[str, float] = {}
    for name in programs:
        bare = BARE_IMPORT if name in (IMPORT, BARE_IMPORT) else BARE_COMMAND
        ratios[name] = median(one[name][1] / one[bare][1] for one in took)
        print(f"{name}: {median(one[name][0] for one in took):.2f} s, {ratios[name]:.2f} x `{bare}`")
    slowest, imported = max(ratio for name, ratio in ratios.items() if name != IMPORT), ratios[IMPORT]
    figure = f"the slowest command {slowest:.2f} x, the import {imported:.2f} x"
    ok = slowest <= GOAL_COMMAND and imported <= GOAL_IMPORT
    return Figure("kit", figure, f"{GOAL_COMMAND} x, {GOAL_IMPORT} x", ok=ok)


def _programs(folder: Path) -> Mapping[str, Sequence[str]]:
    """Name -> the words of a process in the folder, which has an outbox with a job."""
    (folder / "worker.toml").write_text(SETTINGS, encoding="utf-8")
    worker = (sys.executable, "-m", "worker.cli")
    subprocess.run([*worker, "db", "upgrade"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    send = [*worker, "send", "hr", "--text", "hello", "--to", "lisi", "--due-at", "2099-01-01T00:00:00+00:00"]
    job = subprocess.run(send, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    lines = ("jobs", "why JOB", "doctor", "jobs --help", "cancel --help", "--version")
    imports = (BARE_COMMAND, IMPORT, BARE_IMPORT)
    return {
        **{f"worker {line}": (*worker, *line.replace("JOB", job).split()) for line in lines},
        **{code: (sys.executable, "-c", code) for code in imports},
    }


def _seconds(words: Sequence[str], folder: str) -> tuple[float, float]:
    """From a process's start to its end: by the clock, and of the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return took, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
