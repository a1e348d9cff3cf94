"""An application that enqueues all the time: `python steady_producer.py PREFIX`, of whichever release it is run with.

Tests only. Prints the id of every job whose transaction was committed, until its input ends; stays a little ahead of
the workers.
"""

from __future__ import annotations

import sys
import threading

from sqlalchemy import Engine, create_engine, text

from worker import RetryTransaction, Text, To, enqueue
from worker.config.settings import load_settings

AHEAD = 40
PAUSE_S = 0.1
"""Seconds between two looks at the backlog: what is shown is that messages come all the time, not how many."""
OPEN = text("select count(*) from worker_parts where state = 0")


def main(prefix: str) -> None:
    """Enqueues until the input ends."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    engine = create_engine(load_settings().database_url())
    count = 0
    while not ended.wait(PAUSE_S):
        with engine.connect() as connection:
            is_ahead = connection.execute(OPEN).scalar_one() >= AHEAD
        if is_ahead:
            continue
        for _ in range(3):
            # Without the vendor's duplicate check, which would swallow what is sent twice.
            message = Text(content=f"{prefix} {count}", duplicate_check=False)
            print(committed(engine, message, To(users=[f"{prefix}-{count}"])), flush=True)
            count += 1
    engine.dispose()


def committed(engine: Engine, message: Text, to: To) -> str:
    """The job's id, once its transaction is committed: again, where the database asks for that."""
    while True:
        try:
            with engine.begin() as connection:
                return enqueue(connection, "hr", message, to).id
        except RetryTransaction:
            continue


if __name__ == "__main__":
    main(sys.argv[1])
