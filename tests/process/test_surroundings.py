"""A worker process in an environment that was made for other programs."""

from __future__ import annotations

import signal
from typing import Any

from rig.stack import ACCOUNT, Stack, until
from rig.stacks import WITH_A_BROKER, Make, on_stacks
from worker import JobState, Text, To, enqueue
from worker.config.surroundings import surprises

CLOSED = "redis://127.0.0.1:1/0"
OTHERS = dict(
    **dict.fromkeys(("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "BROKER_URL"), CLOSED),
    **dict.fromkeys(("CELERY_RESULT_BACKEND", "RESULT_BACKEND"), CLOSED),
    **dict.fromkeys(("CELERY_CONFIG_MODULE", "CONFIG_MODULE", "CELERY_LOADER", "LOADER"), "nowhere"),
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:1"),
    **dict.fromkeys(("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC"), "/nowhere"),
    CELERY_WORKER_AUTOSCALE="4,2",
    CELERY_WORKER_BEAT="1",
    CELERY_WORKER_CONCURRENCY="1",
    CELERY_WORKER_DETACH="1",
    CELERY_WORKER_EXCLUDE_QUEUES="worker.normal",
    CELERY_WORKER_INCLUDE="nowhere",
    CELERY_WORKER_LOGFILE="/nowhere/log",
    CELERY_WORKER_POOL="solo",
    CELERY_WORKER_PURGE="1",
    CELERY_WORKER_QUEUES="celery",
    CELERY_WORKER_STATEDB="/nowhere/state",
    CELERY_TASK_ALWAYS_EAGER="1",
    CELERY_RDBSIG="1",
    DJANGO_SETTINGS_MODULE="nowhere",
    REMAP_SIGTERM="SIGQUIT",
    WEB_CONCURRENCY="auto",
)
"""What compose files and hosts of users of Celery have, and some that would stop or change this worker."""


@on_stacks(*WITH_A_BROKER, why="embedded is no process of the celery command")
def test_variables_of_other_programs_change_nothing(make: Make) -> None:
    """The worker delivers by the settings' broker with its own threads, names each variable in its log, lets a call in
    flight end after SIGTERM, and ends with status 0.
    """
    stack = make(env=OTHERS, fresh=True)
    worker = stack.worker(threads=3)

    job = _ask(stack, "hello")
    stack.until_settled()

    assert stack.rows("select state from worker_jobs where id = :job", job=job) == [(JobState.ACCEPTED.value,)]
    lines = stack.lines()
    assert [line["threads"] for line in lines if line["event"] == "worker_started"] == [3]
    named = {line["text"] for line in lines if line["event"] == "variable_of_others"}
    assert named == set(surprises(OTHERS))
    stack.vendor.post("settings", {"latency_s": 1.5})
    last = _ask(stack, "last")
    until(lambda: stack.vendor.sends() == 2, "the call is in flight")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(120) == 0
    assert stack.rows("select state from worker_jobs where id = :job", job=last) == [(JobState.ACCEPTED.value,)]


def _ask(stack: Stack, text: str, **options: Any) -> str:
    with stack.database.writing() as connection:
        return enqueue(connection, ACCOUNT, Text(text), To(users=["anna"]), accounts=stack.accounts, **options).id
