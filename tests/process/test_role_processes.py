"""Worker, metrics and lists, each under its role in the database."""

from __future__ import annotations

import os

import requests

from rig.roles import Server, as_role, role_users
from rig.stack import ACCOUNT
from rig.stacks import MARIADB, REDIS, Make, on_stacks
from tests.process.test_pipeline_processes import assert_each_once
from worker import NewJob, Text, To, enqueue_many

LISTS = (
    ("jobs",),
    ("jobs", "--account", ACCOUNT, "--state", "accepted"),
    ("jobs", "--counts"),
    ("lanes",),
    ("lanes", "--history"),
    ("limits",),
    ("forecast",),
    ("hooks",),
    ("db", "check"),
)
"""What `worker` prints under the reader's role, each with status 0."""


@on_stacks(REDIS, MARIADB, why="rights and roles are a server's")
def test_processes_run_each_under_its_role(make: Make) -> None:
    """A worker delivers what a producer asks, `worker metrics` is scraped and the lists are printed by a reader."""
    server: Server = "mariadb" if make.name == MARIADB else "postgresql"
    users = make.scope.enter_context(role_users(server, f"worker_rolep_{os.getpid()}_{server}"))
    stack = make({}, database_url=users.admin, worker_database=users.url("worker"))
    with as_role(users, "producer") as producer, producer.writing() as connection:
        jobs = [NewJob(ACCOUNT, Text(content=f"text {n}"), To(users=[f"u{n}"])) for n in range(50)]
        enqueue_many(connection, jobs, accounts=stack.accounts)

    delivering = stack.worker(threads=4)
    stack.until_settled()
    assert_each_once(stack, 50)
    reader = {"WORKER_DATABASE": users.url("reader")}
    stack.process("worker.cli", "metrics", "--listen", "127.0.0.1:0", env=reader)
    stack.until_logged("metrics listening on ")
    url = next(words.split()[-1] for words in stack.logs().splitlines() if "metrics listening on " in words)
    scraped = requests.get(f"{url}/metrics", timeout=30).text
    lists = [stack.process("worker.cli", *command, env=reader) for command in LISTS]
    upgraded = stack.process("worker.cli", "db", "upgrade", env={"WORKER_DATABASE": users.url("migrator")})

    assert "worker_database_up 1.0" in scraped
    assert [0] * len(LISTS) == [one.wait() for one in lists], stack.logs()[-2000:]
    assert upgraded.wait() == 0, stack.logs()[-2000:]
    assert stack.end(delivering) == 0
