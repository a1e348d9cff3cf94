"""The producer of the console's bench, a process of its own: pages that are made beside it must not hold it up.

Whenever little is left for the worker, more is enqueued.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import requests

from bench.throughput.plain_call import text_of, user_of
from rig.stack import ACCOUNT
from worker import NewJob, Text, To, enqueue_many
from worker.accounts.sources import accounts_of
from worker.config.settings import load_settings
from worker.outbox.engine.database import Database, make_engine

AHEAD, TOGETHER = 1_500, 250
"""Jobs that wait for the worker at least, and those that are enqueued together."""
LOOK_S = 0.2


@contextmanager
def topped_up(config: Path, vendor: str) -> Iterator[None]:
    """Work for the worker, by the settings of an installation and the URL of its vendor."""
    producer = get_context("spawn").Process(target=_produce, args=(config, vendor), daemon=True)
    producer.start()
    try:
        yield
    finally:
        producer.terminate()
        producer.join()


def _produce(config: Path, vendor: str) -> None:
    settings = load_settings(config)
    database, accounts, made = Database(make_engine(settings.database_url())), accounts_of(settings), 0
    while True:
        counts = requests.get(f"{vendor}/_control/counts", timeout=30).json()["counts"]
        if made - counts.get("/cgi-bin/message/send", 0) >= AHEAD:
            time.sleep(LOOK_S)
            continue
        numbers = range(made, made + TOGETHER)
        new = [NewJob(ACCOUNT, Text(content=text_of(n)), To(users=[user_of(n)])) for n in numbers]
        with database.writing() as connection:
            enqueue_many(connection, new, accounts=accounts)
        made += TOGETHER
