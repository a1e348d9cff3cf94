"""What the suite has to know of a channel to hold it to the promises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.control import control
from worker.domain.account import Account
from worker.domain.content.message import Message
from worker.domain.content.recipient import Recipients

Asked = tuple[Message, Recipients | None]


@dataclass(frozen=True)
class Case:
    """One channel, in words every channel has."""

    channel: str
    account: Callable[[str, str], Account]
    """By name and the simulator's address; accounts of different names share nothing the vendor blocks."""
    path: str
    """Of its send calls."""
    send: Callable[[int], Asked]
    """The n-th message, to somebody who exists; no two alike, one call each."""
    seen: Callable[[str], list[str]]
    """What arrived at the simulator, one entry each time: the same entry twice is a message seen twice."""
    limit: str
    """The name of a limit that one account's sends share, to be overridden."""
    canaries: tuple[str, ...]
    """Texts, people and secrets of `send` and `account` that must not show."""
    two: Callable[[], Asked]
    """A message to two recipients, the first of whom the vendor refuses, the second not."""
    refused_by: Mapping[str, Any]
    """A fault's answer by which the vendor refuses a message for good."""
    parks: Mapping[str, Any]
    """A fault's answer for which the account is parked."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Of the simulator."""
    cards: Callable[[], Asked] | None = None
    """A card that can be updated, where there are any."""


def faults(url: str, path: str, *actions: Mapping[str, Any], times: int | None = 1) -> None:
    """The next calls of a path meet these, one after another."""
    rules = [
        {"match": {"path": path}, "action": action} | ({} if times is None else {"times": times}) for action in actions
    ]
    control(url, "faults", rules)


def calls(url: str, path: str) -> list[dict[str, Any]]:
    """Every call of a path."""
    found: list[dict[str, Any]] = control(url, f"calls?path={path}")["calls"]
    return found
