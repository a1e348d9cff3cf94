"""Fixtures of browser tests: one Chromium for all of them, and a simulator that shows every message."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.browser import chromium
from tests.browser.every_message import send_everything
from tests.browser.sender import Sender
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium."""
    with chromium.running() as started:
        yield started


@pytest.fixture(scope="package")
def full_inbox() -> Iterator[str]:
    """The address of an inbox that shows a message of every type."""
    with running(SimulatorSettings()) as url:
        sender = Sender(url)
        send_everything(sender)
        sender.close()
        yield url
