"""What an installation says of itself while something is wrong with it, fault by fault, and how soon.

Real workers and a receiver, with the settings of production, on a broker and a database behind doors. Each fault begins
while messages flow; then `worker doctor`, the console's first page, `worker health` and the notices are read until each
says more than it said in calm, and after its end until none does. What they said is printed, so that a person can judge
whether it was true; the figure is how many of the faults stood on the first page, and the longest time until they did.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import secrets
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import requests
from sqlalchemy import make_url

from bench import Figure
from bench.console.program import served
from bench.stand.installation import installation, lay_ready
from bench.stand.lanes import HERE, OTHER, THERE
from bench.stand.stacks import CROSSED, STACKS, missing_service
from bench.throughput.rig import BenchFailed
from rig.serving import serving
from rig.stack import ACCOUNT, Process, Stack, Vendor, until
from rig.stacks import broker_of
from rig.tcp_door import Door
from worker import JobFilter, NewJob, Text, To, pause, resume
from worker.accounts.sources import accounts_of
from worker.cli.health import host_health
from worker.cli.setup.doctor import findings
from worker.cli.setup.finding import Level
from worker.config.settings import load_settings
from worker.console.page import Site
from worker.domain.errors import WorkerError
from worker.language import Lang, translate
from worker.outbox.engine.database import Database, make_engine

GOAL, GOAL_S = "every fault on the first page within {} s, and off it within {} s of its end", 90.0
PLACES = ("page", "doctor", "health", "notice")
CALM_S = 120.0
SEND, TOKEN = "/cgi-bin/message/send", "/cgi-bin/gettoken"
_NOTE = re.compile(r'<p class="note[^"]*">(.*?)</p>', re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_VARIES = re.compile(r"\d+|w\S+@\S+")
"""What two readings of one trouble may differ in."""
_SETTINGS = f"""
[accounts.{OTHER}]
channel = "wecom_app"
corpid = "{THERE["corpid"]}"
agentid = {THERE["agentid"]}
secret = {{ file = "FOLDER/secret" }}
base_url = "http://127.0.0.1:PORT"
callback = {{ token = {{ env = "NIGHT_TOKEN" }}, aes_key = {{ env = "NIGHT_AES_KEY" }} }}

[notify]
to = [{{ url = {{ env = "NIGHT_NOTICES" }} }}]
"""

_CALLBACK = {"NIGHT_TOKEN": "night", "NIGHT_AES_KEY": secrets.token_hex(22)[:43]}
"""What the address of callbacks needs. No callback comes."""


@dataclass
class Night:
    """The installation and what can be broken about it."""

    stack: Stack
    database: Door
    broker: Door
    vendor: Door
    posted: list[str]
    """The notices."""
    page: str
    """The address of the console."""
    lang: Lang
    workers: list[Process] = field(default_factory=list)
    receiver: Process | None = None
    sent: int = 0

    def work(self, count: int = 20, account: str = ACCOUNT) -> None:
        """Messages to people of their own."""
        people = range(self.sent, self.sent + count)
        self.sent += count
        lay_ready(self.stack, (NewJob(account, Text(f"{n}: come at three"), To(users=[f"u{n}"])) for n in people))

    def worker(self, **options: Any) -> Process:
        """One more worker process."""
        process: Process = self.stack.worker(threads=8, **options)
        self.workers.append(process)
        return process

    def read(self, place: str) -> list[str]:
        """What a place says now, a line a trouble."""
        match place:
            case "doctor":
                found = findings(lambda: load_settings(self.stack.config))
                return [translate(one.text, self.lang) for one in found if one.level is not Level.OK]
            case "page":
                with requests.Session() as session:
                    session.trust_env = False
                    answer = session.get(self.page, headers={"accept-language": self.lang}, timeout=60)
                if answer.status_code != 200:
                    return []  # a page that is not there says nothing
                return [html.unescape(_TAG.sub("", note)).strip() for note in _NOTE.findall(answer.text)]
            case "health":
                return [translate(host_health(None, None).text, self.lang)]
        return list(self.posted)


Change = Callable[[Night], None]


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, and how it is put right."""

    begin: Change
    end: Change
    places: tuple[str, ...] = PLACES
    """Where it should be said."""


def _kill(night: Night) -> None:
    night.workers.pop().send_signal(signal.SIGKILL)


def _kill_all(night: Night) -> None:
    while night.workers:
        _kill(night)
    night.work()


def _start(night: Night) -> None:
    while len(night.workers) < 2:
        night.worker()
    if night.receiver is None:
        night.receiver = night.stack.process("worker.cli", "receiver", "--port", "0")


def _kill_receiver(night: Night) -> None:
    assert night.receiver is not None
    night.receiver.send_signal(signal.SIGKILL)
    night.receiver = None


def _log_of_next(night: Night) -> Path:
    """Where the next process of the installation writes its log."""
    return night.stack.folder / f"process-{len(night.stack.processes)}.log"


def _log_to_full_device(night: Night) -> None:
    night.stack.end(night.workers.pop())
    _log_of_next(night).symlink_to("/dev/full")
    # Quiet: Celery's banner, which comes before the log, would end the process.
    named = ("-A", "worker.service.celery_app", "worker", "-n", "full@night", "-c", "8")
    night.workers.append(night.stack.process("celery", "-q", *named, "-P", "threads", "--loglevel", "INFO"))


def _log_to_disk(night: Night) -> None:
    night.stack.end(night.workers.pop())
    for log in night.stack.folder.glob("process-*.log"):
        if log.is_symlink():
            log.unlink()  # whoever reads all logs would read this device for ever
    _start(night)


def _answers(path: str, **answer: Any) -> Change:
    def begin(night: Night) -> None:
        night.stack.vendor.faults({"match": {"path": path}, "action": answer})
        night.work()

    return begin


def _refuse_the_secret(night: Night) -> None:
    """The token that the workers have is over, and the secret gets no other."""
    night.stack.vendor.faults(
        {"match": {"path": TOKEN}, "action": {"answer": {"errcode": 40001, "errmsg": "invalid credential"}}},
        {"match": {"path": SEND}, "action": {"answer": {"errcode": 42001, "errmsg": "access_token expired"}}},
    )
    night.work()


def _heal(night: Night) -> None:
    night.stack.vendor.heal()


def _resumed(night: Night) -> None:
    """Healed, and the account's lanes opened by a person."""
    _heal(night)
    if night.stack.process("worker.cli", "resume", ACCOUNT).wait(60):
        raise BenchFailed(f"the account was not resumed\n{night.stack.logs()[-1000:]}")


def _shut(door: str) -> Change:
    def begin(night: Night) -> None:
        getattr(night, door).shut()
        if door != "database":
            night.work()

    return begin


def _open(door: str) -> Change:
    return lambda night: getattr(night, door).open()


def _paused(night: Night) -> None:
    pause(JobFilter(account=ACCOUNT), person="ada", why="wrong date", database=night.stack.database)
    night.work()


def _no_pause(night: Night) -> None:
    resume(JobFilter(account=ACCOUNT), person="ada", database=night.stack.database)


def _stopped(night: Night) -> None:
    night.workers[-1].send_signal(signal.SIGSTOP)


def _goes_on(night: Night) -> None:
    night.workers[-1].send_signal(signal.SIGCONT)


def _new_secret(text: str) -> Change:
    def change(night: Night) -> None:
        (night.stack.folder / "secret").write_text(text, encoding="utf-8")
        night.work()

    return change


FAULTS: Mapping[str, Fault] = {
    "the broker is away": Fault(_shut("broker"), _open("broker")),
    "the database is away": Fault(_shut("database"), _open("database")),
    "the vendor cannot be reached": Fault(_shut("vendor"), _open("vendor")),
    "the vendor answers 502": Fault(_answers(SEND, status=502, body="<h1>bad gateway</h1>"), _heal),
    "the vendor is busy (-1)": Fault(_answers(SEND, answer={"errcode": -1, "errmsg": "system busy"}), _heal),
    "the vendor limits calls (45009)": Fault(
        _answers(SEND, answer={"errcode": 45009, "errmsg": "api freq out of limit"}), _resumed, ("page", "doctor")
    ),
    "the secret is refused (40001)": Fault(_refuse_the_secret, _resumed),
    "the address is not allowed (60020)": Fault(
        _answers(SEND, answer={"errcode": 60020, "errmsg": "not allow to access from your ip"}), _resumed
    ),
    "answers are lost": Fault(_answers(SEND, reset_response_after=0), _heal, ("page", "doctor")),
    "one worker is killed": Fault(_kill, _start, ("page",)),
    "all workers are killed": Fault(_kill_all, _start),
    "a worker is stopped": Fault(_stopped, _goes_on),
    "the receiver is killed": Fault(_kill_receiver, _start, ("page", "doctor", "notice")),
    "a worker's log is on a full device": Fault(_log_to_full_device, _log_to_disk, ("page", "doctor", "notice")),
    "a person paused the account": Fault(_paused, _no_pause, ("page", "doctor")),
}


@dataclass
class Told:
    """What one place said of one fault."""

    after_s: float | None = None
    lines: dict[str, float] = field(default_factory=dict)
    over_s: float | None = None


def main(argv: list[str]) -> Figure:
    """Every fault, or those named."""
    parser = argparse.ArgumentParser(prog="python -m bench night")
    parser.add_argument("--stack", choices=(*(name for name in STACKS if name != "embedded"), CROSSED), default=CROSSED)
    parser.add_argument("--lang", choices=("en", "zh"), default="en")
    parser.add_argument("--only", action="append", choices=tuple(FAULTS), help="this fault; may be repeated")
    parser.add_argument(
        "--most-s", type=float, default=GOAL_S, help="seconds until a place has to say it, notices more"
    )
    given = parser.parse_args(argv)
    if missing := missing_service([given.stack]):
        raise WorkerError(f"{missing} does not answer; choose another --stack")
    goal = GOAL.format(f"{GOAL_S:.0f}", f"{CALM_S:.0f}")
    os.environ["WORKER_LANG"] = given.lang
    with ExitStack() as scope:
        night = scope.enter_context(_installed(given.stack, given.lang))
        told = {name: _play(night, name, FAULTS[name], given.most_s) for name in given.only or FAULTS}
    pages = [one["page"] for one in told.values() if "page" in one]
    said = [one.after_s for one in pages if one.after_s is not None]
    ok = len(said) == len(pages) and all(one.over_s is not None for one in pages)
    figure = f"{len(said)} of {len(pages)} on the first page, the last after {max(said, default=0):.0f} s"
    return Figure("night", figure, goal, ok)


@contextmanager
def _installed(kind: str, lang: Lang) -> Iterator[Night]:
    with ExitStack() as scope:
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="bench-night-")))
        vendor = scope.enter_context(closing(Vendor(folder, {"latency_s": 0.02, "apps": [HERE, THERE]})))
        posted: list[str] = []
        notices = scope.enter_context(serving(HTTPServer(("127.0.0.1", 0), _post_box(posted))))
        broker_url = make_url(broker_of(kind))
        broker = scope.enter_context(closing(Door("127.0.0.1", broker_url.port or 0)))
        way = broker_url.set(host="127.0.0.1", port=broker.at).render_as_string(hide_password=False)
        vendor_door = scope.enter_context(closing(Door("127.0.0.1", int(vendor.url.rpartition(":")[2]))))
        made = installation(
            "night",
            kind,
            folder,
            vendor,
            delivery={},
            account=_SETTINGS,
            base_url=f"http://127.0.0.1:{vendor_door.at}",
            worker_broker=way,
            env=(variables := {**_CALLBACK, "NIGHT_NOTICES": f"{notices}/", "WORKER_LANG": lang}),
        )
        stack = scope.enter_context(made)
        url = make_url(stack.database_url)
        database = scope.enter_context(closing(Door("127.0.0.1", url.port or 0)))
        stack.worker_database = url.set(host="127.0.0.1", port=database.at).render_as_string(hide_password=False)
        stack.swap_broker(stack.broker)  # writes the settings again
        settings = load_settings(stack.config)
        os.environ.update(variables, WORKER_CONFIG=str(stack.config))
        looked_at = scope.enter_context(closing(Database(make_engine(stack.worker_database))))
        page = scope.enter_context(served(Site(settings, looked_at, accounts_of(settings))))
        night = Night(stack, database, broker, vendor_door, posted, page, lang)
        _start(night)
        night.work()
        until(lambda: stack.vendor.sends() >= 20, "messages flow", told=stack.told)
        yield night


def _post_box(posted: list[str]) -> type[BaseHTTPRequestHandler]:
    """Takes notices, and keeps their texts."""

    class Box(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posted.append(json.loads(body)["text"])
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            """Writes nothing."""

    return Box


def _play(night: Night, name: str, fault: Fault, most_s: float) -> dict[str, Told]:
    """One fault: from calm until it is said and over."""
    _calm_down(night)
    print(f"\n== {name}", flush=True)
    calm = {place: {_shape(line) for line in night.read(place)} for place in PLACES}
    night.posted.clear()
    told = {place: Told() for place in PLACES}
    fault.begin(night)
    began = time.monotonic()
    while (now := time.monotonic() - began) < most_s:
        for place in PLACES:
            _listen(night, place, calm[place], told[place], now)
        if now > 20 and all(told[place].after_s is not None for place in fault.places):
            break
        time.sleep(1.0)
    fault.end(night)
    ended = time.monotonic()
    lasting = [place for place in PLACES if place != "notice" and told[place].after_s is not None]
    while lasting and (now := time.monotonic() - ended) < CALM_S:
        for place in tuple(lasting):
            if not [line for line in night.read(place) if _shape(line) not in calm[place]]:
                told[place].over_s = now
                lasting.remove(place)
        time.sleep(1.0)
    for place in PLACES:
        one = told[place]
        after = "not" if one.after_s is None else f"{one.after_s:.0f} s"
        over = "" if one.over_s is None else f", silent {one.over_s:.0f} s after it"
        print(f"{place:<7} {after}{over}", flush=True)
        for line, at in one.lines.items():
            print(f"    {at:4.0f} s  {line}", flush=True)
    return {place: told[place] for place in fault.places}


def _listen(night: Night, place: str, calm: set[str], told: Told, now: float) -> None:
    for line in night.read(place):
        if _shape(line) in calm or any(_shape(line) == _shape(heard) for heard in told.lines):
            continue
        told.after_s = now if told.after_s is None else told.after_s
        told.lines[line] = now


def _shape(line: str) -> str:
    return _VARIES.sub("#", line)


def _calm_down(night: Night) -> None:
    """Waits until what is due is sent."""
    deadline = time.monotonic() + CALM_S
    while night.stack.open_jobs():
        if time.monotonic() > deadline:
            raise BenchFailed(f"no calm before the next fault\n{night.stack.state()}")
        time.sleep(0.5)
