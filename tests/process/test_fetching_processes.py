"""A worker told to end while it fetches a file from a server that takes its time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, cast

from rig.stack import ACCOUNT, LIMIT_S, SHORT
from rig.stacks import EMBEDDED, MARIADB, Make, on_stacks
from worker import File, FileMessage, To, enqueue

FETCH_S = 60.0
UPLOADS = "select p.state, p.tries from worker_parts p join worker_jobs j on j.id = p.job_id where j.kind = 'upload'"


class Slow(ThreadingHTTPServer):
    """Takes every request, and answers when it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.answers, self.times = Event(), Event(), 0


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        slow = cast(Slow, self.server)
        slow.times += 1
        slow.asked.set()
        slow.answers.wait(LIMIT_S)
        with suppress(OSError):  # nobody waits for the first answer any more
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"the minutes of the meeting")

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


@on_stacks(MARIADB, EMBEDDED, why="its SQL is tried on each database in process")
def test_a_worker_that_fetches_ends_at_once_and_another_one_fetches(make: Make) -> None:
    """SIGTERM in the middle of a fetch: 0, long before the fetch's deadline; nothing is lost, refused or counted."""
    stack = make(delivery={**SHORT, "fetch_allow": ["127.0.0.1"], "fetch_deadline_s": FETCH_S})
    with serving() as slow:
        file = File.from_url(f"http://127.0.0.1:{slow.server_address[1]}/minutes.txt")
        with stack.database.writing() as connection:
            job = enqueue(connection, ACCOUNT, FileMessage(file=file), To(["lisi"]), accounts=stack.accounts).id
        first = stack.worker(threads=4)
        assert slow.asked.wait(LIMIT_S)

        began = time.monotonic()
        status = stack.end(first)
        took_s = time.monotonic() - began
        between = [tuple(row) for row in stack.rows(UPLOADS)]
        slow.answers.set()
        stack.worker(threads=4)
        stack.until_settled()

    assert status == 0, "state and tries of the upload"
    assert between == [(0, 0)], "state and tries of the upload"
    assert took_s < FETCH_S / 2
    assert slow.times == 2
    assert stack.number("select state from worker_jobs where id = :id", id=job) == 2
    assert len(stack.vendor.inbox()["lisi"]) == 1


@contextmanager
def serving() -> Iterator[Slow]:
    with Slow() as slow:
        thread = Thread(target=slow.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield slow
        finally:
            slow.answers.set()
            slow.shutdown()
            thread.join()
