"""A vendor that is ill for ten minutes costs little: a few calls of a backlog of 10,000, and no message.

Real workers, with the settings of production, against the fake vendor behind a door. It is ill in one way after the
other: -1 to everything, 502 without its JSON, resets after the request was carried out, connections taken and closed at
once, answers that drip. Each time it is struck in mid-flow; then it is well, and everything must end accepted, nothing
seen twice.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import Figure
from bench.stand.installation import installation
from bench.stand.lanes import HERE, PROCESSES, THREADS, Short, accepted, ask, must, start, wait
from bench.stand.stacks import CROSSED, REDIS, STACKS, missing_service
from rig.stack import ACCOUNT, Stack, Vendor
from rig.tcp_door import Door
from worker import Text
from worker.domain.errors import WorkerError
from worker.outbox.upkeep import gauges

SHARE = 0.02
GOAL = "at most 2 % of the backlog called while it is ill, all accepted afterwards, nothing exhausted or held"
SEND = "/cgi-bin/message/send"
AHEAD = 300
"""Messages on top of the backlog, of which a hundred are sent before it falls ill."""
AFTER_S = 1_200.0
"""The last retry of a message comes within twelve minutes after an illness."""
SLAM = "accept-and-close"
ILL: Mapping[str, dict[str, Any]] = {
    "-1": {"answer": {"errcode": -1, "errmsg": "system busy"}},
    "502": {"status": 502, "body": "<h1>bad gateway</h1>"},
    "resets": {"reset_response_after": 0},
    SLAM: {},
    "drips": {"drip": {"bytes": 1, "every_s": 1.0}},
}


@dataclass(frozen=True)
class Spell:
    """One illness, and what it cost."""

    name: str
    backlog: int
    """Messages that were due when it began."""
    calls: int
    """Calls, and connections that were sent away, while it lasted."""
    lost: int
    """Messages that did not end accepted."""
    old_s: float
    """What the gauge of the oldest open job said at its end."""
    after_s: float
    """From its end until everything was accepted."""

    @property
    def share(self) -> float:
        """Calls to the backlog."""
        return self.calls / self.backlog


def judge(spells: Sequence[Spell], minutes: float) -> tuple[str, bool]:
    """The figure, and whether every promise held: calls, ends, and that an alert could see it."""
    worst = max(spell.share for spell in spells)
    each = ", ".join(f"{spell.name} {spell.calls}" for spell in spells)
    lost = sum(spell.lost for spell in spells)
    seen = all(spell.old_s >= 0.9 * minutes * 60 for spell in spells)
    figure = (
        f"{worst:.2%} called at most ({each} of {spells[0].backlog}), {lost} not accepted, all out "
        f"{max(spell.after_s for spell in spells):.0f} s after it at the latest; the gauge "
        f"{'told each' if seen else 'did not tell'}"
    )
    return figure, worst <= SHARE and not lost and seen


def main(argv: list[str]) -> Figure:
    """One illness after the other, on one installation."""
    given = _options(argv)
    try:
        figure, ok = judge(_run(given.stack, given.jobs, given.minutes), given.minutes)
    except Short as error:
        print(error)
        return Figure("illness", "a promise did not hold, see above", GOAL, False)
    return Figure("illness", f"{figure}{'; a hint only' if given.quick else ''}", GOAL, ok)


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench illness")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0, help="of each illness")
    parser.add_argument("--stack", choices=(*STACKS, CROSSED), default=REDIS)
    parser.add_argument("--quick", action="store_true", help="half a minute each, 2,000 messages: a hint")
    given = parser.parse_args(argv)
    if given.quick:
        given.jobs, given.minutes = 2_000, 0.5
    if missing := missing_service([given.stack]):
        raise WorkerError(f"{missing} does not answer; choose another --stack")
    return given


def _run(kind: str, jobs: int, minutes: float) -> list[Spell]:
    with ExitStack() as scope:
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix="bench-illness-")))
        vendor = scope.enter_context(closing(Vendor(folder, {"latency_s": 0.02, "apps": [HERE]})))
        door = scope.enter_context(closing(Door("127.0.0.1", int(vendor.url.rpartition(":")[2]))))
        url = f"http://127.0.0.1:{door.at}"
        stack = scope.enter_context(installation("illness", kind, folder, vendor, delivery={}, base_url=url))
        print(
            f"{kind}: {PROCESSES} processes of {THREADS} threads, {jobs} messages, {minutes} minutes each", flush=True
        )
        start(stack)
        return [_spell(stack, door, name, turn, jobs, minutes) for turn, name in enumerate(ILL)]


def _spell(stack: Stack, door: Door, name: str, turn: int, jobs: int, minutes: float) -> Spell:
    """Struck in mid-flow, ill for so long, and then well until everything is out."""
    before, all_of_it = turn * (jobs + AHEAD), (turn + 1) * (jobs + AHEAD)
    ask(stack, ACCOUNT, _text, range(before, all_of_it))
    wait(lambda: accepted(stack, ACCOUNT) > before + AHEAD // 3, "the first are sent", stack)
    backlog, called = all_of_it - accepted(stack, ACCOUNT), _called(stack, door)
    _fall_ill(stack, door, name)
    time.sleep(minutes * 60)
    calls, old_s = _called(stack, door) - called, _oldest_s(stack)
    _recover(stack, door)
    began = time.monotonic()
    wait(lambda: accepted(stack, ACCOUNT) == all_of_it, f"everything accepted after {name}", stack, AFTER_S)
    spell = Spell(name, backlog, calls, all_of_it - accepted(stack, ACCOUNT), old_s, time.monotonic() - began)
    print(f"{name}: {calls} calls for a backlog of {backlog}, all out {spell.after_s:.0f} s after it", flush=True)
    _seen_once(stack, all_of_it)
    return spell


def _fall_ill(stack: Stack, door: Door, name: str) -> None:
    if name == SLAM:
        door.slam()
    else:
        stack.vendor.faults({"match": {"path": SEND}, "action": ILL[name]})


def _recover(stack: Stack, door: Door) -> None:
    door.slams = False
    stack.vendor.heal()


def _called(stack: Stack, door: Door) -> int:
    return stack.vendor.sends() + door.slammed


def _oldest_s(stack: Stack) -> float:
    """What `worker_open_oldest_seconds` says now."""
    with stack.database.reading() as connection:
        now = int(connection.exec_driver_sql(f"select {stack.database.now}").scalar_one())
        return max((now - at) / 1_000_000 for at in gauges.oldest_open(connection, stack.database.now).values())


def _seen_once(stack: Stack, everybody: int) -> None:
    """Everybody has one message: the duplicate check made the repeats safe."""
    seen = [len(messages) for messages in stack.vendor.inbox().values()]
    must(seen.count(1) == len(seen) == everybody, f"{len(seen)} of {everybody} got one, {max(seen)} at most")


def _text(n: int) -> Text:
    return Text(content=f"{n}: the meeting is at three")
