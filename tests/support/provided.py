"""The application's own functions that give tokens, as `token_provider` names them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

ASKED: list[tuple[str, bool]] = []
ANSWERS: list[Callable[[], Any]] = []
"""What the next calls do, in order; then each gives `given`."""
GATE = threading.Event()


def token_of(account: str, *, fresh: bool) -> Any:
    """A token as the list says."""
    ASKED.append((account, fresh))
    return ANSWERS.pop(0)() if ANSWERS else ("given", 7200)


def hangs(account: str, *, fresh: bool) -> Any:
    """Returns once the gate is open."""
    ASKED.append((account, fresh))
    assert GATE.wait(60)
    return "late", 7200


def without_keyword(account: str) -> Any:
    """Takes no `fresh`."""
    return "given", 7200
