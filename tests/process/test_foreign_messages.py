"""What others may put into the broker: no worker ends, stops or shows it."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import redis
from kombu import Producer

from rig.stack import ACCOUNT, Stack, until
from rig.stacks import WITH_A_BROKER, Make, on_stacks
from worker import JobState, Text, To, enqueue
from worker.outbox.engine.counting import totals
from worker.service.celery_app import make_app
from worker.service.queues import DOORBELL_TASK, HOOKS_TASK, NAMES

CANARY = "canary-of-others-7c2d"
ID = "0123456789abcdef" * 2
TASK = {"task": DOORBELL_TASK, "id": ID, "lang": "py", "argsrepr": CANARY, "kwargsrepr": CANARY}
MESSAGES: list[tuple[Any, dict[str, Any]]] = [
    (f"not json {CANARY}", {}),
    (CANARY, {"headers": TASK}),
    (json.dumps(CANARY), {"headers": TASK}),
    ("[]", {"headers": TASK}),
    (json.dumps([[CANARY], {}, {}]), {"headers": TASK}),
    (json.dumps([[CANARY, [CANARY, 5, None, {}]], {}, {}]), {"headers": TASK}),
    (json.dumps([[5, {CANARY: 1}, [], CANARY], {}, {}]), {"headers": TASK}),
    (json.dumps([[[CANARY]], {}, {}]), {"headers": {**TASK, "task": HOOKS_TASK}}),
    ("[" * 50_000, {"headers": TASK}),
    ("{}", {"headers": {"task": [CANARY], "id": ID}}),
    ("{}", {"headers": {"task": DOORBELL_TASK}}),
    ("{}", {"headers": {"task": CANARY, "id": CANARY}}),
    ("{}", {"headers": {**TASK, "eta": CANARY, "expires": CANARY, "timelimit": CANARY, "retries": CANARY}}),
    ("{}", {"content_type": "application/x-python-serialize", "headers": TASK}),
    ("{}", {"content_encoding": CANARY, "headers": TASK}),
    ("{}", {"content_encoding": CANARY}),
    *(
        (json.dumps([[ACCOUNT, [CANARY], False, 1], {}, embedded]), {"headers": {**TASK, **headers}})
        for embedded, headers in (
            ({}, {"id": CANARY}),
            ({}, {"id": [CANARY]}),
            ({}, {"eta": "2999-01-01T00:00:00+00:00"}),
            ({}, {"id": CANARY, "expires": "1999-01-01T00:00:00+00:00"}),
            ({"callbacks": CANARY, "chain": 5}, {}),
            ({"callbacks": [{"task": DOORBELL_TASK, "args": [CANARY], "kwargs": {}, "options": {}}]}, {}),
            ({"errbacks": {CANARY: 1}}, {}),
        )
    ),
    (json.dumps({"task": DOORBELL_TASK, "id": CANARY, "args": 5, "kwargs": CANARY}), {}),
    (json.dumps({"task": [CANARY]}), {}),
]
"""Body and properties of messages in our queues."""
ITEMS = [
    *(b"not json " + CANARY.encode(), b"\xff\xfe", b"[]", b"{}", b"5", b'"x"', b"[" * 100_000),
    *(
        b'{"properties": []}',
        b'{"properties": {"delivery_tag": []}}',
        b'{"body": 5, "properties": {"delivery_tag": 1}}',
    ),
    b'{"body": "x", "properties": {"delivery_tag": "a", "body_encoding": "nonsense"}}',
    b'{"__type__": "datetime", "__value__": 5}',
]
"""What Redis may hold in the place of a message."""
COMMANDS: list[tuple[str, dict[str, Any]]] = [
    ("shutdown", {}),
    *(("cancel_consumer", {"queue": name}) for name in NAMES),
    ("rate_limit", {"task_name": DOORBELL_TASK, "rate_limit": "1/h"}),
    ("time_limit", {"task_name": DOORBELL_TASK, "hard": 0.001}),
    ("pool_shrink", {"n": 100}),
    ("pool_restart", {}),
    ("terminate", {"signal": "KILL", "task_id": "1"}),
    ("disable_events", {}),
    (CANARY, {}),
    ("ping", {CANARY: CANARY}),
    ("revoke", {"task_id": {"a": CANARY}}),
]


@on_stacks(*WITH_A_BROKER, why="nobody else writes to a broker in memory")
def test_a_worker_goes_on_whatever_others_write_into_its_broker(make: Make) -> None:
    """The same process delivers after it, answers Flower's questions, counts what it dropped, and logs none of it."""
    stack = make(fresh=True)
    worker = stack.worker()
    stack.until_logged("@test ready.")
    app = make_app(stack.settings)

    count = _write(stack, app)
    # Of what was published to its commands, it counts what it could parse and not understand.
    until(lambda: _dropped(stack) >= count, "what cannot be read is counted", told=stack.told)
    for command, arguments in COMMANDS:
        app.control.broadcast(command, arguments)
    jobs = [_ask(stack, name) for name in ("one", "two")]
    stack.until_settled()

    assert worker.poll() is None
    states = dict(stack.rows("select id, state from worker_jobs"))
    assert [states[job] for job in jobs] == [JobState.ACCEPTED] * 2
    inspect = app.control.inspect(timeout=5)
    [queues] = until(inspect.active_queues, "the worker answers").values()
    assert {stack.prefix + name for name in NAMES} == {queue["name"] for queue in queues}
    assert CANARY not in stack.logs()
    assert [line for line in stack.lines() if line.get("level") in ("error", "critical")] == []


def _write(stack: Stack, app: Any) -> int:
    """Fills the normal queue, publishes to Redis' commands, and returns how many messages are in the queue."""
    queue = f"{stack.prefix}worker.normal"
    with app.connection_for_write() as connection, connection.channel() as channel:
        producer = Producer(channel, auto_declare=False)
        for body, options in MESSAGES:
            producer.publish(
                body.encode(),
                routing_key=queue,
                exchange="",
                **{"content_type": "application/json", "content_encoding": "utf-8", **options},
            )
    if not stack.broker.startswith("redis"):
        return len(MESSAGES)
    with closing(redis.Redis.from_url(stack.broker)) as client:
        client.lpush(queue, *ITEMS)
        for item in ITEMS:
            client.publish(f"/0.{stack.prefix}celery.pidbox", item)
    return len(MESSAGES) + len(ITEMS)


def _dropped(stack: Stack) -> int:
    with stack.database.reading() as connection:
        return totals(connection)["messages_dropped"]


def _ask(stack: Stack, text: str) -> str:
    with stack.database.writing() as connection:
        return enqueue(connection, ACCOUNT, Text(text), To(users=["anna"]), accounts=stack.accounts).id
