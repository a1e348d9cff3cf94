"""Hooks that use the application's Django and its Celery, in real workers, beside PostgreSQL and Redis."""

from __future__ import annotations

import json
import secrets
from base64 import b64decode
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from redis import Redis
from sqlalchemy import make_url

from rig.stack import ACCOUNT, Stack, until
from rig.stacks import REDIS, Make, on_stacks
from worker import NewJob, Text, To, enqueue_many

JOBS = 12
KEPT: Mapping[str, Mapping[str, Any]] = {
    "Django's default": {},
    "kept and checked": {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True},
    "kept, never checked": {"CONN_MAX_AGE": None},
}


@on_stacks(
    REDIS,
    why="Django's connections are PostgreSQL's, and the application's broker is a broker like any other",
    kept=tuple(KEPT),
)
def test_hooks_use_djangos_connections_and_the_applications_broker(make: Make, kept: str) -> None:
    """After Django's connections were dropped the hooks go on, and each of their tasks lies in the application's queue.

    Without a check each dropped connection may fail one run: two hooks run at a time, in any of the eight threads.
    """
    name, queue = f"hooks-{secrets.token_hex(4)}", f"shop-{secrets.token_hex(4)}"
    stack = _stack(make, name, queue, KEPT[kept])
    worker = stack.worker(threads=8)
    jobs = _send(stack)
    theirs = "from pg_stat_activity where application_name = :name"
    if kept == "Django's default":
        until(lambda: not stack.number(f"select count(*) {theirs}", name=name), "each hook's connection is closed")
    dropped = stack.number(f"select count(pg_terminate_backend(pid, 60000)) {theirs}", name=name)
    jobs += _send(stack)

    runs = stack.number("select sum(tries) from worker_events where job_id = any(:jobs)", jobs=jobs)
    assert sorted(_sent(stack.broker, queue)) == sorted(jobs)
    assert (dropped > 0) == (kept != "Django's default")
    assert runs - len(jobs) <= (dropped if kept == "kept, never checked" else 0)
    assert stack.end(worker) == 0


def _stack(make: Make, name: str, queue: str, options: Mapping[str, Any]) -> Stack:
    url = make_url(make.database_url)
    database = {"ENGINE": "django.db.backends.postgresql", "NAME": url.database, "USER": url.username, **options}
    database |= {"HOST": url.host, "PORT": url.port, "PASSWORD": url.password, "OPTIONS": {"application_name": name}}
    env = {"HOOK_DATABASE": json.dumps(database), "HOOK_BROKER": make.broker, "HOOK_QUEUE": queue}
    return make(top='hooks = "tests.process.application_hooks"', env=env)


def _send(stack: Stack) -> list[str]:
    """Sends jobs whose hooks then have run to their end; the ids of the jobs."""
    new = [NewJob(ACCOUNT, Text(content=secrets.token_hex(4)), To([f"u{n}"])) for n in range(JOBS)]
    with stack.database.writing() as connection:
        jobs = [job.id for job in enqueue_many(connection, new, accounts=stack.accounts)]
    query = "select count(*) from worker_events where state = 2 and job_id = any(:jobs)"
    until(lambda: stack.number(query, jobs=jobs) == JOBS, "the hooks have run", told=stack.told)
    return jobs


def _sent(broker: str, queue: str) -> list[str]:
    """The jobs that the tasks in the application's queue are about."""
    with closing(Redis.from_url(broker)) as redis:
        bodies = [json.loads(message)["body"] for message in redis.lrange(queue, 0, -1)]
        redis.delete(queue)
    return [json.loads(b64decode(body))[0][0] for body in bodies]
