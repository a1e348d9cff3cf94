"""What the benches of lanes share: two worker processes, two accounts of different corps, a fake vendor, and checks."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

from bench.stand.installation import installation, lay_ready
from bench.stand.stacks import EMBEDDED, REDIS, STACKS, missing_service
from rig.stack import ACCOUNT, SECRET, Stack, Vendor, until
from worker import NewJob, To
from worker.domain.errors import WorkerError

OTHER = "it"
THREADS = 8
PROCESSES = 2
SETTLED_S = 180.0
HERE = {"corpid": "ww-canary-corp", "secret": SECRET, "agentid": 7}
THERE = {"corpid": "ww-other-corp", "secret": SECRET, "agentid": 8}
_OTHER_ACCOUNT = f"""
[accounts.{OTHER}]
channel = "wecom_app"
corpid = "{THERE["corpid"]}"
agentid = {THERE["agentid"]}
callback = true
secret = {{ file = "FOLDER/secret" }}
base_url = "http://127.0.0.1:PORT"
"""


class Short(AssertionError):
    """A promise did not hold."""


def options(name: str, jobs: int, argv: Sequence[str]) -> argparse.Namespace:
    """The options of such a bench."""
    parser = argparse.ArgumentParser(prog=f"python -m bench {name}")
    parser.add_argument("--jobs", type=int, default=jobs)
    parser.add_argument("--stack", choices=STACKS, default=REDIS)
    given = parser.parse_args(argv)
    if missing := missing_service([given.stack]):
        raise WorkerError(f"{missing} does not answer; choose another --stack")
    return given


@contextmanager
def floor(name: str, stack: str, delivery: Mapping[str, Any]) -> Iterator[Stack]:
    """An installation whose workers have not started; its vendor answers after 20 ms and knows both apps."""
    with ExitStack() as scope:
        folder = Path(scope.enter_context(tempfile.TemporaryDirectory(prefix=f"bench-{name}-")))
        vendor = scope.enter_context(closing(Vendor(folder, {"latency_s": 0.02, "apps": [HERE, THERE]})))
        made = installation(name, stack, folder, vendor, delivery=dict(delivery), account=_OTHER_ACCOUNT)
        yield scope.enter_context(made)


def start(stack: Stack) -> int:
    """Starts the workers; how many calls they can have in flight."""
    count = 1 if stack.broker == EMBEDDED else PROCESSES
    for _ in range(count):
        stack.worker(threads=THREADS)
    return count * THREADS


def ask(stack: Stack, account: str, make: Callable[[int], Any], numbers: range) -> None:
    """A job a number, each to a person of its own: no member's limit is near."""
    lay_ready(stack, (NewJob(account, make(n), To(users=[f"{account}{n}"])) for n in numbers))


def app(stack: Stack, **changes: Any) -> None:
    """The operator changes the first account's app in the vendor's admin console."""
    stack.vendor.post("settings", {"apps": [{**HERE, **changes}, THERE]})


def command(stack: Stack, *words: str) -> str:
    """Runs a `worker` command; its output. A status other than 0 is Short."""
    process = stack.process("worker.cli", *words)
    status = process.wait(60)
    said = stack.folder / f"process-{len(stack.processes) - 1}.log"
    text = said.read_text(encoding="utf-8")
    if status:
        raise Short(f"`worker {' '.join(words)}` ended with {status}: {text}")
    return text


def lanes(stack: Stack, account: str = ACCOUNT) -> list[dict[str, Any]]:
    """What `worker lanes` lists of an account."""
    lines = command(stack, "lanes", "--json", "--account", account).splitlines()
    found: list[dict[str, Any]] = json.loads(next(line for line in lines if line.startswith("[")))
    return found


def accepted(stack: Stack, account: str, kind: str = "%") -> int:
    """Jobs of an account that the vendor took; `kind` is a pattern of the message document."""
    return stack.number(
        "select count(*) from worker_jobs where state = 2 and account = :account and message like :kind",
        account=account,
        kind=kind,
    )


def refused(stack: Stack, code: int) -> int:
    """Calls that were answered with this code."""
    return stack.number("select count(*) from worker_attempts where errcode = :code", code=code)


def in_flight(stack: Stack) -> int:
    """Calls that are marked and not recorded."""
    return stack.number("select count(*) from worker_parts where state = 1")


def wait(condition: Callable[[], Any], what: str, stack: Stack, limit_s: float = SETTLED_S) -> None:
    """Waits for a condition; Short with the state of things when it takes too long, or a worker dies."""

    def met() -> Any:
        dead = [process.poll() for process in stack.processes if process.poll() not in (None, 0)]
        if dead:
            raise Short(f"a process ended with {dead[0]} before {what}\n{stack.logs()[-3000:]}")
        return condition()

    try:
        until(met, what, limit_s, told=stack.told)
    except Short:
        raise
    except AssertionError as error:
        raise Short(str(error)) from None


def must(holds: bool, what: str) -> None:
    """Fails loudly."""
    if not holds:
        raise Short(what)


def no_attempt_burnt(stack: Stack) -> None:
    """No part has a try that counted, none died, none is in doubt."""
    found = stack.rows("select count(*), sum(tries), sum(doubts) from worker_parts where tries > 0 or state <> 2")
    must(found[0][0] == 0, f"{found[0][0]} parts lost an attempt, or did not end accepted: {stack.state()}")
