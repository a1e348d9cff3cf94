"""What the throughput bench compares us with: a plain Celery task that calls requests and remembers nothing.

`celery -A bench.throughput.plain_task worker -P threads` reads its settings from PLAIN_ variables.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from celery import Celery

from bench.throughput.plain_call import QUEUE, caller

TASK = "plain.send"


def make_app(broker: str, vendor: str, *, prefetch: int, trust_env: bool) -> Any:
    """An app with one task; early acks and ignored results, its fastest."""
    app = Celery("plain", broker=broker, set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=False,
        task_default_queue=QUEUE,
        worker_prefetch_multiplier=prefetch,
        broker_connection_retry_on_startup=True,
    )
    app.task(name=TASK, shared=False)(caller(vendor, trust_env=trust_env))
    return app


def publish(app: Any, bodies: Iterable[dict[str, Any]]) -> None:
    """One message a body, over one connection."""
    with app.producer_pool.acquire(block=True) as producer:
        for body in bodies:
            app.tasks[TASK].apply_async((body,), producer=producer)


def environment(broker: str, vendor: str, *, prefetch: int, trust_env: bool) -> dict[str, str]:
    """What a worker process must find in its environment to build the same app."""
    return {
        "PLAIN_BROKER": broker,
        "PLAIN_VENDOR": vendor,
        "PLAIN_PREFETCH": str(prefetch),
        "PLAIN_TRUST_ENV": "1" if trust_env else "",
    }


def __getattr__(name: str) -> Any:
    """`app`, made when the `celery` command asks for it."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    prefetch, trust_env = int(os.environ["PLAIN_PREFETCH"]), bool(os.environ["PLAIN_TRUST_ENV"])
    made = make_app(os.environ["PLAIN_BROKER"], os.environ["PLAIN_VENDOR"], prefetch=prefetch, trust_env=trust_env)
    globals()["app"] = made
    return made
