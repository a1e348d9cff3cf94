"""What Flower's real API shows."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Any

import requests
from sqlalchemy import text

from rig.servers.own_server import free_port
from rig.stack import ACCOUNT, SECRET, SHORT, Process, Stack, Vendor, until
from rig.stacks import REDIS, WITH_A_BROKER, Make, on_stacks
from worker import JobFilter, JobState, Text, To, cancel, enqueue, find_open, pause

LOGIN = ("admin", "a-login")


@on_stacks(*WITH_A_BROKER, why="nobody can listen to a broker in memory: embedded sends no events")
def test_flower_shows_jobs_by_id_kind_and_state(make: Make) -> None:
    """Flower's API lists a sent, a retried, a rejected and a partial job under the job's id and kind; one that is due
    tomorrow and revoked there is cancelled in the outbox: a worker that never heard of it does not send it.
    """
    stack = make(delivery={**SHORT, "backoff_base_s": 20, "backoff_max_s": 30})
    flower, url = start_flower(stack)
    stack.vendor.faults(
        {"match": {"path": "/cgi-bin/message/send", "body_contains": "again"}, "action": {"answer": {"errcode": -1}}},
        {"match": {"path": "/cgi-bin/message/send", "body_contains": "no"}, "action": {"answer": {"errcode": 45002}}},
    )
    jobs = {name: _ask(stack, name) for name in ("fine", "again", "no", "partly")}
    worker = stack.worker()

    seen = until(lambda: _complete(url, set(jobs.values())), "all four jobs in Flower")

    states = {name: seen[job]["state"] for name, job in jobs.items()}
    assert states == {"fine": "SUCCESS", "again": "RETRY", "no": "FAILURE", "partly": "SUCCESS"}
    assert {seen[job]["name"] for job in jobs.values()} == {"send wecom_app"}
    assert (seen[jobs["fine"]]["result"], seen[jobs["partly"]]["result"]) == ("accepted", "partial, 1 refused")
    assert "45002" in seen[jobs["no"]]["exception"]
    assert "-1" in seen[jobs["again"]]["exception"]
    assert {name: seen[job]["retries"] for name, job in jobs.items()} == {"fine": 0, "again": 1, "no": 0, "partly": 0}
    assert {seen[job]["args"] for job in jobs.values()} == {ACCOUNT}
    assert set(jobs.values()) == set(seen), "doorbells are not shown"
    later = _ask(stack, "later", due_at=timedelta(days=1))
    assert requests.post(f"{url}/api/task/revoke/{later}", timeout=30, auth=LOGIN).status_code == 200
    until(
        lambda: (answer_of(url, f"/api/task/info/{later}") or {}).get("state") == "REVOKED",
        "a job of tomorrow is revoked",
    )
    assert tuple(stack.rows("select state, reason from worker_parts where job_id = :job", job=later)[0]) == (
        8,
        "cancelled before it was sent",
    )
    for process in (flower, worker):
        process.kill()
        process.wait()
    with stack.database.writing() as connection:
        connection.execute(text("update worker_parts set not_before = 0 where job_id = :job"), {"job": later})
    stack.worker()
    after = _ask(stack, "after")
    until(lambda: (2,) in stack.rows("select state from worker_jobs where id = :job", job=after), "a new worker sends")
    assert stack.rows("select state from worker_jobs where id = :job", job=later) == [(8,)]
    assert not any("later" in str(call["body"]) for call in stack.vendor.calls())


OTHERS = """
[accounts.limited]
channel = "wecom_app"
corpid = "ww-canary-corp"
agentid = 8
secret = { file = "FOLDER/secret" }
base_url = "http://127.0.0.1:PORT"
limits = { member_minute = 0, member_hour = 2 }
[accounts.capped]
channel = "wecom_app"
corpid = "ww-canary-corp"
agentid = 9
secret = { file = "FOLDER/secret" }
base_url = "http://127.0.0.1:PORT"
limits = { app_day = 1 }
[accounts.closed]
channel = "wecom_app"
corpid = "ww-closed-corp"
agentid = 7
secret = { file = "FOLDER/secret" }
base_url = "CLOSED"
[accounts.hang]
channel = "wecom_app"
corpid = "ww-canary-corp"
agentid = 10
deadline_s = 600
secret = { file = "FOLDER/secret" }
base_url = "http://127.0.0.1:PORT"
"""
OWN_ACCOUNTS = ("limited", "capped", "closed", "hang")
STATES = {
    JobState.ACCEPTED: "SUCCESS",
    JobState.PARTIAL: "SUCCESS",
    JobState.REJECTED: "FAILURE",
    JobState.EXHAUSTED: "FAILURE",
    JobState.EXPIRED: "FAILURE",
    JobState.UNKNOWN: "UNKNOWN",
    JobState.CANCELLED: "REVOKED",
}
NEW_JOBS = {"fine": 10, "ghost": 3, "reject": 3, "busy": 2, "hold": 3, "once": 2, "hang": 2}
"""What the vendor does with a text -> how many of them are sent."""
OFTEN = {"worker.service.flower.waiting_jobs.REPEAT_S": 3.0}
"""Flower is told again of all that waits."""
WAITING = {"later": 5, "gone": 3, "campaign": 4, "short": 2, "limited": 4, "capped": 3, "closed": 4}


@on_stacks(REDIS, why="what a stack decides about events, the other test tries on each")
def test_flower_shows_fifty_jobs_in_every_state(make: Make) -> None:
    """Each is there with its account, what it waits for and when it is due; the states are the outbox's, and so are the
    counters, also of what was in doubt before it was accepted. A Flower that is started anew has those that wait.
    """
    with closing(Vendor(make.folder / "closed")) as closed:
        closed.faults({"match": {"path": "/cgi-bin/gettoken"}, "action": {"answer": {"errcode": 40001}}})
        delivery = {**SHORT, "attempts": 2, "backoff_base_s": 0.1, "park_probe_s": 3600}
        stack = make(delivery=delivery, account=OTHERS.replace("CLOSED", closed.url), constants=OFTEN)
        flower, url = start_flower(stack)
        send, cut = "/cgi-bin/message/send", {"cut_response_after": 10}
        for word, action in (("reject", {"answer": {"errcode": 45002}}), ("busy", {"answer": {"errcode": -1}})):
            stack.vendor.faults({"match": {"path": send, "body_contains": word}, "action": action})
        stack.vendor.faults({"match": {"path": send, "body_contains": "hold"}, "action": cut})
        stack.vendor.faults({"match": {"path": send, "body_contains": "once"}, "action": cut, "times": 2})
        stack.vendor.faults({"match": {"path": send, "body_contains": "hang"}, "action": {"hang": None}})
        pause(JobFilter(tag="campaign"), person="anna", why="a secret of anna's", settings=stack.settings)
        stack.worker(threads=16)
        stack.worker(threads=16)

        jobs = {name: [_one_of_fifty(stack, name, n) for n in range(count)] for name, count in NEW_JOBS.items()}
        jobs |= {name: [_one_of_fifty(stack, name, n) for n in range(count)] for name, count in WAITING.items()}
        until(lambda: _are_there(url, jobs["gone"]), "what is to be cancelled is shown")
        cancel(find_open(JobFilter(ids=jobs["gone"]), settings=stack.settings), person="anna", settings=stack.settings)
        every = {job: name for name, ids in jobs.items() for job in ids}
        assert len(every) == 50
        until(
            lambda: _agrees(stack, url, every),
            "Flower agrees with the outbox",
            told=lambda: _difference(stack, url, every),
        )

        seen = answer_of(url, "/api/tasks?limit=1000")
        _names_what_each_waits_for(seen, jobs)
        ended = [seen[job] for name in ("fine", "ghost", "reject", "busy", "once") for job in jobs[name]]
        assert all(task["started"] and 0 < task["runtime"] < 60 for task in ended)
        everything = str([{**task, "worker": ""} for task in seen.values()])
        assert [word for word in ("anna", "ghost", SECRET, "fine 0", "campaign") if word in everything] == []
        assert _counted(stack) == _counters(url)
        flower.kill()
        flower.wait()
        flower, url = start_flower(stack)
        waiting = [row[0] for row in stack.rows("select job_id from worker_parts where state in (0, 6)")]
        assert len(waiting) > 15
        until(lambda: _are_there(url, waiting), "a new Flower has what waits")


def _one_of_fifty(stack: Stack, name: str, n: int) -> str:
    account = name if name in OWN_ACCOUNTS else ACCOUNT
    options: dict[str, Any] = {"tags": ["campaign"]} if name in ("campaign", "short") else {}
    if name in ("later", "gone"):
        options["due_at"] = timedelta(days=1)
    if name == "short":
        options["expires_at"] = timedelta(seconds=2)
    people = ["anna", "ghost"] if name == "ghost" else ["anna"]
    message = Text(content=f"{name} {n}", duplicate_check=name != "hold")
    with stack.database.writing() as connection:
        return enqueue(connection, account, message, To(users=people), accounts=stack.accounts, **options).id


def _agrees(stack: Stack, url: str, every: dict[str, str]) -> bool:
    return not _difference(stack, url, every)


def _difference(stack: Stack, url: str, every: dict[str, str]) -> dict[str, Any]:
    """The jobs whose state in Flower is not the outbox's, or that are still on their way."""
    seen = answer_of(url, "/api/tasks?limit=1000") or {}
    states = dict(stack.rows("select id, state from worker_jobs"))
    calls = dict(stack.rows("select job_id, count(*) from worker_parts where state = 1 group by job_id"))
    apart = dict[str, Any]()
    for job, name in every.items():
        wanted = STATES.get(JobState(states[job]), "STARTED" if job in calls else "RECEIVED")
        waits = name in WAITING and name not in ("gone", "short")
        task = seen.get(job) or {}
        # A wait has its text, and what nothing holds up goes on.
        goes_on = wanted == "RECEIVED" and not (waits and (task.get("result") or name == "later"))
        if task.get("state") != wanted or goes_on or (name == "once" and wanted != "SUCCESS"):
            apart[job] = name, wanted, task
    return apart


def _names_what_each_waits_for(seen: dict[str, Any], jobs: dict[str, list[str]]) -> None:
    waits = {name: {str(seen[job]["result"]).partition(":")[0] for job in jobs[name]} for name in WAITING}
    assert waits["later"] == {"waits (due_at)"}
    assert waits["campaign"] == {"waits (pause)"}
    assert "waits (limit)" in waits["limited"]
    assert "waits (limit)" in waits["capped"]
    assert "waits (token)" in waits["closed"]
    for name, ids in jobs.items():
        account = name if name in OWN_ACCOUNTS else ACCOUNT
        assert {(account, "send wecom_app")} == {(seen[job]["args"], seen[job]["name"]) for job in ids}
        assert {name in ("later", "gone")} == {bool(seen[job]["eta"]) for job in ids}


def _counted(stack: Stack) -> dict[str, int]:
    """What the counters of Flower should be: jobs begun or ended by workers, by their end."""
    taken = stack.number("select count(*) from worker_jobs where state in (2, 3)")
    failed = stack.number("select count(*) from worker_jobs where state in (4, 5, 7)")
    unmarked = "select count(*) from worker_parts where first_marked_at is not null or state = 7"
    return {"task-succeeded": taken, "task-failed": failed, "task-received": stack.number(unmarked)}


def _counters(url: str) -> dict[str, int]:
    workers = requests.get(f"{url}/workers?json=1", timeout=60, auth=LOGIN).json()["data"]
    names = ("task-succeeded", "task-failed", "task-received")
    return {name: sum(worker.get(name, 0) for worker in workers) for name in names}


def _are_there(url: str, jobs: list[str]) -> bool:
    return set(jobs) <= set(answer_of(url, "/api/tasks?limit=1000") or {})


def _ask(stack: Stack, name: str, **options: Any) -> str:
    people = ["anna", "ghost"] if name == "partly" else ["anna"]
    with stack.database.writing() as connection:
        return enqueue(connection, ACCOUNT, Text(content=name), To(users=people), accounts=stack.accounts, **options).id


def start_flower(stack: Stack) -> tuple[Process, str]:
    port = free_port()
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
