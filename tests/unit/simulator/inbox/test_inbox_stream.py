"""Open pages are told that something moved, go on where they were cut off, and hold up no one."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Any

from tests.unit.simulator.conftest import Vendor
from tests.unit.simulator.inbox.conftest import Browser
from worker_simulator.answers import HttpAnswer
from worker_simulator.inbox.stream import MAX_PAGES, ChangeFeed
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.wire.connection import ClientConnection


@contextmanager
def listening(vendor: Vendor, last: int | None = None, query: str = "") -> Iterator[Iterator[str]]:
    """The lines of an event stream, empty ones left out."""
    resume = "" if last is None else f"Last-Event-ID: {last}\r\n"
    with vendor.connect() as connection:
        connection.sendall(f"GET /_inbox/events{query} HTTP/1.1\r\nHost: localhost\r\n{resume}\r\n".encode())
        lines = connection.makefile("r", encoding="utf-8")
        yield (line.strip() for line in lines if line.strip())
        lines.close()


def next_id(lines: Iterator[str]) -> int:
    """The number of the next event."""
    return int(next(line for line in lines if line.startswith("id: ")).removeprefix("id: "))


def test_a_page_is_told_at_once_and_at_each_move(vendor: Vendor, browser: Browser, text: Any) -> None:
    """A send, a recall, a setting: each is a higher number."""
    with listening(vendor) as lines:
        assert next(lines).startswith("HTTP/1.1 200")
        seen = [next_id(lines)]
        sent = vendor.send(text())
        seen.append(next_id(lines))
        vendor.recall(sent["msgid"])
        seen.append(next_id(lines))
        vendor.settings(limits={"member_per_minute": 3})
        seen.append(next_id(lines))

    assert sorted(set(seen)) == seen


def test_a_page_goes_on_where_it_was_cut_off(vendor: Vendor, browser: Browser, text: Any) -> None:
    """What moved meanwhile is told at once; where nothing did, the next move is."""
    with listening(vendor) as lines:
        last = next_id(lines)
    vendor.send(text())

    with listening(vendor, last) as lines:
        after = next_id(lines)
    with listening(vendor, after) as lines:
        vendor.send(text("more"))
        assert after < next_id(lines)

    assert last < after


def test_a_page_that_was_just_made_has_seen_all_so_far(vendor: Vendor, browser: Browser, text: Any) -> None:
    """It names the move that it shows, and is told of the next one."""
    vendor.send(text())
    page = browser.text()
    (shown,) = re.findall(r'data-change="(\d+)"', page)

    with listening(vendor, query=f"?after={shown}") as lines:
        vendor.send(text("more"))
        assert int(shown) < next_id(lines)


def test_the_number_of_another_run_is_told_of(vendor: Vendor, browser: Browser) -> None:
    """A page that outlived a simulator fetches everything anew."""
    with listening(vendor, 999_999) as lines:
        assert 999_999 > next_id(lines)


def test_the_stream_has_the_head_of_one(vendor: Vendor, browser: Browser) -> None:
    """Its type, no length, and the headers of every page."""
    with listening(vendor) as lines:
        head = dict(line.split(": ", 1) for line in iter(lambda: next(lines), "retry: 1000") if ": " in line)

    assert head["Content-Type"] == "text/event-stream; charset=utf-8"
    assert "Content-Length" not in head
    assert head["X-Content-Type-Options"] == "nosniff"


def test_pages_that_went_free_their_place(vendor: Vendor, browser: Browser, text: Any) -> None:
    """Beyond the most that may wait it is 503; once they are gone there is room."""
    waiting: list[socket.socket] = []
    for _ in range(MAX_PAGES):
        waiting.append(vendor.connect())
        waiting[-1].sendall(b"GET /_inbox/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        waiting[-1].recv(1)

    refused = browser.get("/_inbox/events").status_code
    for connection in waiting:
        connection.close()

    def is_free() -> bool:
        with listening(vendor) as lines:
            return next(lines).startswith("HTTP/1.1 200")

    assert refused == 503
    vendor.until(is_free)


def test_a_page_that_reads_nothing_holds_up_no_call(vendor: Vendor, browser: Browser, text: Any) -> None:
    """The vendor's calls are answered beside it."""
    vendor.settings(limits={"member_per_minute": 0, "member_per_hour": 0})
    with vendor.connect() as deaf:
        deaf.sendall(b"GET /_inbox/events HTTP/1.1\r\nHost: localhost\r\n\r\n")

        assert {vendor.send(text(str(n)))["errcode"] for n in range(50)} == {0}


def test_a_waiting_page_is_sent_signs_of_life() -> None:
    """As comments, so that what lies between does not cut it off."""

    async def pieces() -> list[bytes]:
        pulse = ChangeFeed(lambda: 0, heartbeat_s=0.0)
        events = pulse.events(pulse.seq)
        found = [await anext(events) for _ in range(3)]
        await events.aclose()
        assert pulse.pages == 0
        return found

    assert asyncio.run(pieces()) == [b"retry: 1000\n\n", b": still here\n\n", b": still here\n\n"]


def test_nothing_is_looked_at_while_no_page_is_open() -> None:
    """The state's counters are compared only between the first page and the last."""
    looks: list[str] = []

    async def watch() -> None:
        pulse = ChangeFeed(lambda: len(looks.append("") or looks), poll_s=0.0)
        looks.clear()
        events = pulse.events(None)
        await anext(events)
        await anext(events)
        await anext(events)
        await events.aclose()
        count = len(looks)
        for _ in range(20):
            await asyncio.sleep(0)
        assert count == len(looks)

    asyncio.run(watch())

    assert looks


def test_a_long_log_lets_calls_pass_while_it_is_read(vendor: Vendor, browser: Browser, text: Any) -> None:
    """A page over many conversations, and calls beside it: all are answered."""
    vendor.settings(limits={"member_per_minute": 0, "member_per_hour": 0})
    people = "|".join(f"p{n}" for n in range(1000))
    for n in range(20):
        vendor.send(text(str(n), to=people))
    pages: list[int] = []
    reader = threading.Thread(target=lambda: pages.append(browser.get("/", q="19").status_code))
    reader.start()

    answers = {vendor.send(text(f"beside {n}"))["errcode"] for n in range(20)}
    reader.join()

    assert answers == {0}
    assert pages == [200]


class Deaf(asyncio.Transport):
    """A client whose unread bytes pile up."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.unread = 0
        self.aborted = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.unread += len(data)

    def get_write_buffer_size(self) -> int:
        return self.unread

    def abort(self) -> None:
        self.aborted.set()


class Chatty:
    """A simulator whose page never ends."""

    def __init__(self) -> None:
        self.state = VendorState(SimulatorSettings())

    def control(self, request: HttpRequest) -> HttpAnswer:
        raise AssertionError("not asked for")

    async def page(self, request: HttpRequest) -> HttpAnswer:
        async def pieces() -> AsyncGenerator[bytes]:
            while True:
                yield b"x" * 1024

        return HttpAnswer(b"", stream=pieces())


def test_a_page_that_reads_nothing_is_let_go() -> None:
    """Once 64 KiB wait for it."""

    async def visit() -> int:
        deaf, connection = Deaf(), ClientConnection(Chatty())
        connection.connection_made(deaf)
        connection.data_received(b"GET /_inbox/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await deaf.aborted.wait()
        return deaf.unread

    assert 64 * 1024 < asyncio.run(visit()) < 67 * 1024
