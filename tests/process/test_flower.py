"""What Flower's real API shows."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import Any

import requests
from sqlalchemy import text

from rig.stack import ACCOUNT, Process, Stack, until
from rig.stacks import WITH_A_BROKER, Make, on_every_stack
from worker import Text, To, enqueue

LOGIN = ("admin", "a-login")


@on_every_stack(*WITH_A_BROKER, why="nobody can listen to a broker in memory: embedded sends no events")
def test_flower_shows_jobs_by_id_kind_and_state(make: Make) -> None:
    """Flower's API lists a sent, a retried, a rejected and a partial job under the job's id and kind; one that is due
    tomorrow and revoked there is cancelled in the outbox: a worker that never heard of it does not send it.
    """
    stack = make(fresh=True, delivery={"backoff_base_s": 20, "backoff_max_s": 30})
    flower, url = start_flower(stack)
    stack.vendor.faults(
        {"match": {"path": "/cgi-bin/message/send", "body_contains": "again"}, "action": {"answer": {"errcode": -1}}},
        {"match": {"path": "/cgi-bin/message/send", "body_contains": "no"}, "action": {"answer": {"errcode": 45002}}},
    )
    jobs = {name: _ask(stack, name) for name in ("fine", "again", "no", "partly")}
    worker = stack.worker()

    seen = until(lambda: _complete(url, set(jobs.values())), "all four jobs in Flower")

    states = {name: seen[job]["state"] for name, job in jobs.items()}
    assert {"fine": "SUCCESS", "again": "RETRY", "no": "FAILURE", "partly": "SUCCESS"} == states
    assert {"send wecom_app"} == {seen[job]["name"] for job in jobs.values()}
    assert ("accepted", "partial 1+1") == (seen[jobs["fine"]]["result"], seen[jobs["partly"]]["result"])
    assert "45002" in seen[jobs["no"]]["exception"]
    assert "-1" in seen[jobs["again"]]["exception"]
    assert {""} == {seen[job]["args"] for job in jobs.values()}
    assert set(jobs.values()) == set(seen), "doorbells are not shown"
    later = _ask(stack, "later", due_at=timedelta(days=1))
    assert 200 == requests.post(f"{url}/api/task/revoke/{later}", timeout=30, auth=LOGIN).status_code
    until(
        lambda: (answer_of(url, f"/api/task/info/{later}") or {}).get("state") == "REVOKED",
        "a job of tomorrow is revoked",
    )
    assert (8, "cancelled before it was sent") == tuple(
        stack.rows("select state, reason from worker_parts where job_id = :job", job=later)[0]
    )
    for process in (flower, worker):
        process.kill()
        process.wait()
    with stack.database.writing() as connection:
        connection.execute(text("update worker_parts set not_before = 0 where job_id = :job"), {"job": later})
    stack.worker()
    after = _ask(stack, "after")
    until(lambda: (2,) in stack.rows("select state from worker_jobs where id = :job", job=after), "a new worker sends")
    assert [(8,)] == stack.rows("select state from worker_jobs where id = :job", job=later)
    assert not any("later" in str(call["body"]) for call in stack.vendor.calls())


def _ask(stack: Stack, name: str, **options: Any) -> str:
    people = ["anna", "ghost"] if name == "partly" else ["anna"]
    with stack.database.writing() as connection:
        return enqueue(connection, ACCOUNT, Text(content=name), To(users=people), accounts=stack.accounts, **options).id


def start_flower(stack: Stack) -> tuple[Process, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flower = stack.process(
        "celery",
        *("-A", "worker.service.celery_app", "flower", "--address=127.0.0.1", f"--port={port}"),
        env={"FLOWER_BASIC_AUTH": ":".join(LOGIN)},
    )
    url = f"http://127.0.0.1:{port}"
    until(lambda: answer_of(url, "/api/tasks") is not None, "Flower answers")
    return flower, url


def _complete(url: str, jobs: set[str]) -> dict[str, Any] | None:
    found = answer_of(url, "/api/tasks") or {}
    done = {job for job, task in found.items() if task["state"] not in ("RECEIVED", "PENDING", "STARTED")}
    return found if jobs <= done else None


def answer_of(url: str, path: str) -> Any:
    try:
        reply = requests.get(url + path, timeout=60, auth=LOGIN)
    except requests.ConnectionError:
        return None
    return reply.json() if reply.status_code == 200 else None
