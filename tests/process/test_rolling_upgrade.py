"""A rolling upgrade under load, and back: nothing is lost, nothing goes twice, and every process starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rig.stack import ROOT, Process, Stack, until
from rig.stacks import RABBITMQ, Make, on_stacks, scratch
from tests.process.two_releases import InstalledRelease, two_releases

SOME = 5
"""Deliveries that are waited for at each step."""


@pytest.fixture(scope="module")
def releases(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[InstalledRelease, InstalledRelease]:
    """This release, and a next one."""
    return two_releases(wheel, tmp_path_factory.mktemp("releases"))


class Deploy:
    """One installation whose processes are of two releases."""

    def __init__(self, stack: Stack):
        self.stack = stack
        self.workers: list[Any] = []
        self.statuses: list[int] = []
        self.producers: list[subprocess.Popen[str]] = []

    def command(self, release: InstalledRelease, *arguments: str) -> tuple[int, str]:
        """`worker ARGUMENTS` of a release: its exit status, and what it said."""
        log = self.stack.folder / f"process-{len(self.stack.processes)}.log"
        status = self.stack.process("worker.cli", *arguments, env=release.env).wait(120)
        return status, log.read_text(encoding="utf-8")

    def run(self, release: InstalledRelease, *arguments: str) -> None:
        """The same, which has to end well."""
        status, said = self.command(release, *arguments)
        assert status == 0, said

    def check(self, release: InstalledRelease) -> tuple[int, Any]:
        """The exit status and the answer of its `worker db check`."""
        status, said = self.command(release, "db", "check", "--json")
        return status, json.loads(said)

    def enqueues(self, release: InstalledRelease, prefix: str) -> subprocess.Popen[str]:
        """An application that uses a release, and enqueues until it is told to end."""
        program = str(ROOT / "tests" / "process" / "steady_producer.py")
        with (self.stack.folder / f"{prefix}.ids").open("w") as ids:
            made = subprocess.Popen(
                [sys.executable, "-W", "ignore", program, prefix],
                env=self._env(release),
                cwd=self.stack.folder,
                stdin=subprocess.PIPE,
                stdout=ids,
                stderr=subprocess.PIPE,
                text=True,
            )
        self.producers.append(made)
        return made

    def start(self, release: InstalledRelease) -> None:
        """One more worker of a release, once it lives."""
        self.stack.env = release.env
        worker = self.stack.worker(threads=4)
        alive = "select count(*) from worker_processes where pid = :pid and ended_at is null"

        def lives() -> bool:
            assert worker.poll() is None, self.stack.logs()[-3000:]
            return self.stack.number(alive, pid=worker.pid) == 1

        until(lives, "the worker lives")
        self.workers.append(worker)

    def end_first(self) -> None:
        """The worker that has been there for longest ends."""
        self.statuses.append(self.stack.end(self.workers.pop(0)))

    def until_each_delivers(self) -> None:
        """Waits until every worker that is there has delivered some more."""
        for worker in self.workers:
            before = self._delivered(worker)
            until(
                lambda worker=worker, before=before: self._delivered(worker) >= before + SOME,  # type: ignore[misc]
                "a worker delivers",
                progress=self.stack.vendor.sends,
                told=self._told,
            )

    def close(self) -> None:
        """Ends what is left of the producers."""
        for producer in self.producers:
            producer.kill()
            producer.communicate()

    def _delivered(self, worker: Process) -> int:
        calls = (
            "select count(*) from worker_attempts a join worker_processes p on p.id = a.incarnation"
            " where p.pid = :pid and a.outcome = 'accepted'"
        )
        return self.stack.number(calls, pid=worker.pid)

    def _told(self) -> str:
        ended = [producer.stderr.read() for producer in self.producers if producer.poll() and producer.stderr]
        return "\n".join([*ended, self.stack.told()])

    def _env(self, release: InstalledRelease) -> dict[str, str]:
        outer = {name: value for name, value in os.environ.items() if not name.startswith("WORKER_")}
        return {**outer, "WORKER_CONFIG": str(self.stack.config), **release.env}


def end_producer(producer: subprocess.Popen[str]) -> None:
    """Its input ends, and it has met no error."""
    _, error = producer.communicate(timeout=120)
    assert producer.returncode == 0
    assert error == ""


@on_stacks(RABBITMQ, why="two workers, and a dozen programs started one after the other")
def test_a_rolling_upgrade_and_back(make: Make, releases: tuple[InstalledRelease, InstalledRelease]) -> None:
    """Tables first, then one process after the other, while applications of both releases enqueue; then back the same
    way on the newer tables, and at last the older tables, from which no living process of the newer release is cut."""
    older, newer = releases
    make.folder.mkdir(parents=True, exist_ok=True)
    url = make.scope.enter_context(scratch(make.name, f"{os.getpid()}_rolling", make.folder))
    stack = make({"latency_s": 0.01}, database_url=url)
    deploy = Deploy(stack)
    make.scope.callback(deploy.close)
    deploy.run(older, "db", "upgrade")
    for _ in range(2):
        deploy.start(older)
    old_application = deploy.enqueues(older, "old")
    deploy.until_each_delivers()

    upgrade(deploy, older, newer)
    go_back(deploy, older, newer)

    end_producer(old_application)
    stack.until_settled()
    while deploy.workers:
        deploy.end_first()
    assert set(deploy.statuses) == {0}, stack.logs()[-3000:]
    assert_all_sent(stack)


def upgrade(deploy: Deploy, older: InstalledRelease, newer: InstalledRelease) -> None:
    """Tables, workers, applications."""
    deploy.run(newer, "db", "upgrade")
    deploy.until_each_delivers()
    deploy.start(newer)
    deploy.end_first()
    new_application = deploy.enqueues(newer, "new")
    deploy.until_each_delivers()
    status, told = deploy.check(newer)
    assert status == 1
    assert sorted(one["compatibility"] for one in told["processes"]) == ["other", "same"]
    deploy.start(newer)
    deploy.end_first()
    deploy.until_each_delivers()
    assert ((found := deploy.check(newer))[0], len(found[1]["processes"])) == (0, 2)
    end_producer(new_application)


def go_back(deploy: Deploy, older: InstalledRelease, newer: InstalledRelease) -> None:
    """Workers on the newer tables, then the tables under their hands; one that starts on these runs as well."""
    deploy.start(older)
    deploy.end_first()
    deploy.until_each_delivers()
    status, said = deploy.command(newer, "db", "downgrade", older.revision)
    assert status == 2
    assert "end the workers of newer releases first" in said
    deploy.start(older)
    deploy.end_first()
    deploy.until_each_delivers()
    deploy.run(newer, "db", "downgrade", older.revision)
    deploy.until_each_delivers()
    deploy.start(older)
    deploy.end_first()
    deploy.until_each_delivers()


def assert_all_sent(stack: Stack) -> None:
    """Every job that an application committed was delivered once, and nothing else; nothing was ever in doubt."""
    committed = {
        line for path in Path(stack.folder).glob("*.ids") for line in path.read_text(encoding="ascii").splitlines()
    }
    states = dict(stack.rows("select id, state from worker_jobs"))
    inbox = stack.vendor.inbox()
    assert committed == states.keys()
    assert set(states.values()) == {2}
    assert len(inbox) == len(committed)
    assert {len(messages) for messages in inbox.values()} == {1}
    assert len(committed) == stack.vendor.sends()
    assert stack.number("select count(*) from worker_attempts where doubtful or outcome <> 'accepted'") == 0
