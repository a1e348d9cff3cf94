"""Secrets, texts and people stay out of broker, Flower, logs and keys (must-show 9)."""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import pytest
import redis

from tests.process.conftest import MakeStack
from tests.process.stack import ACCOUNT, SECRET, Stack, until
from tests.process.test_flower import _flower, _get
from worker import ButtonCard, File, Image, Text, To, enqueue
from worker.channels.wecom_app.card import Button, MainTitle

pytestmark = [pytest.mark.process, pytest.mark.postgres, pytest.mark.redis]
CANARIES = (SECRET, "canary-text", "canary-person", "canary-title", "canary-file", "ww-canary-corp")


def test_no_canary_leaves(postgres_redis: MakeStack, redis_url: str) -> None:
    """At debug level, with refusals, cuts, a stale token and a TLS connection that fails."""
    # https against a server that speaks http: the failing connection's URL would hold the token.
    stack = postgres_redis(account="[accounts.tls]\n" + _tls_account())
    url = _flower(stack)
    stack.vendor.faults(*_troubles())
    with redis.Redis.from_url(redis_url) as client, client.monitor() as monitor:
        heard: list[str] = []
        threading.Thread(target=_listen, args=(monitor, stack.prefix, heard), daemon=True).start()
        _ask(stack)
        stack.worker(loglevel="DEBUG")
        until(lambda: stack.number("select count(*) from worker_jobs where account = 'hr' and n_open > 0") == 0, "sent")
        until(lambda: stack.rows("select 1 from worker_lanes where lane = 'tls'"), "TLS has failed")
        until(lambda: len(_get(url, "/api/tasks") or {}) >= 4, "Flower has heard")

        places = {
            "broker": "\n".join(heard),
            "flower": str([_get(url, path) for path in ("/api/tasks", "/api/workers?refresh=1&status=1")]),
            "flower's view of the settings": str(_get(url, "/api/workers")),
            "logs": stack.logs(),
            "lanes": str(stack.rows("select lane, label, reason, remedy from worker_lanes")),
            "lane keys": str(stack.rows("select lane from worker_parts")),
            "limit keys": str(stack.rows("select id from worker_budgets")),
            "processes": str(stack.rows("select lanes from worker_processes")),
        }

    canaries = [*CANARIES, *_tokens(stack)]
    assert [] == [(place, canary) for place, text in places.items() for canary in canaries if canary in text]
    assert places["broker"].count("LPUSH") > 0, "the monitor heard doorbells"
    assert "attempt" in places["logs"]
    assert len(canaries) > len(CANARIES), "tokens are known"


def _ask(stack: Stack) -> None:
    people = To(users=["canary-person-1", "ghost-canary-person"])
    card = ButtonCard(main_title=MainTitle(title="canary-title"), button_list=[Button(text="canary-text", key="k")])
    picture = File(b"\x89PNG\r\n\x1a\ncanary-file", "canary-file.png")
    with stack.database.writing() as connection:
        for message in (Text(content="canary-text 1"), Text(content="canary-text 2"), card, Image(file=picture)):
            enqueue(connection, ACCOUNT, message, people, accounts=stack.accounts)
        enqueue(connection, "tls", Text(content="canary-text 3"), people, accounts=stack.accounts)


def _tls_account() -> str:
    return (
        'channel = "wecom_app"\ncorpid = "ww-canary-corp-2"\nagentid = 7\ncallback = true\n'
        'secret = { file = "FOLDER/secret" }\nbase_url = "https://127.0.0.1:PORT"\n'
    )


def _troubles() -> list[dict[str, Any]]:
    match = {"path": "/cgi-bin/message/send"}
    return [
        {"match": {**match, "nth": 1}, "times": 1, "action": {"answer": {"errcode": 42001, "errmsg": "access_token"}}},
        {"match": {**match, "nth": 2}, "times": 1, "action": {"answer": {"errcode": 40058, "errmsg": "canary-text"}}},
        {"match": {**match, "nth": 3}, "times": 1, "action": {"cut_response_after": 20}},
    ]


def _tokens(stack: Stack) -> list[str]:
    return sorted({call["query"]["access_token"] for call in stack.vendor.calls() if "access_token" in call["query"]})


def _listen(monitor: Any, prefix: str, heard: list[str]) -> None:
    with contextlib.suppress(Exception):  # the test closes the connection under the listener
        heard.extend(command["command"] for command in monitor.listen() if prefix in command["command"])
