"""The duplicate check of message/send: which requests are equal, and for how long.

The page only says: the same request JSON within the interval. The rest is not confirmed, so it is a setting.
"""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from worker_simulator.request import Json
from worker_simulator.settings import SimulatorSettings

FLAGS = ("enable_duplicate_check", "duplicate_check_interval")
DEFAULT_INTERVAL_S = 1800
LONGEST_INTERVAL_S = 14_400


@dataclass(slots=True)
class FirstRequest:
    """The first of several equal requests: its time, and the fields of its answer."""

    at: float
    fields: dict[str, Any] = field(default_factory=dict)


class Duplicates:
    """Requests by app."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._requests: dict[tuple[str, bytes], FirstRequest] = {}

    def key(self, app: str, raw: bytes, body: Json) -> tuple[str, bytes]:
        """Returns the key that equal requests share. Call it before anything cuts the body."""
        compare = self._settings.duplicate.compare
        if compare != "bytes":
            content = {name: value for name, value in body.items() if name not in FLAGS}
            raw = json.dumps(content, sort_keys=compare == "sorted").encode()
        return app, hashlib.sha256(raw).digest()

    def original(self, key: tuple[str, bytes], body: Json, now: float) -> FirstRequest | None:
        """Returns the request that this one repeats, or None if there is none or the check is not requested."""
        first, longest_s = self._requests.get(key), self._settings.duplicate.longest_s
        if not wants_check(body) or first is None or now - first.at >= min(interval(body), longest_s):
            return None
        if self._settings.duplicate.repeat_extends:
            first.at = now
        return first

    def remember(self, key: tuple[str, bytes], body: Json, now: float, fields: dict[str, Any]) -> None:
        """Stores an accepted request."""
        if wants_check(body) or self._settings.duplicate.unflagged_counts:
            self._requests[key] = FirstRequest(now, fields)

    def remember_refused(self, key: tuple[str, bytes], body: Json, now: float) -> None:
        """Stores a refused request if the setting says that they count. Never replaces an accepted one."""
        if self._settings.duplicate.refused_counts and self.original(key, body, now) is None:
            self.remember(key, body, now, {})


def wants_check(body: Json) -> bool:
    """True if a request asks for the check."""
    return str(body.get("enable_duplicate_check", 0)) in ("1", "True")


def interval(body: Json) -> float:
    """Returns the interval of a request, in seconds."""
    value = body.get("duplicate_check_interval")
    return float(value) if isinstance(value, int) and value > 0 else DEFAULT_INTERVAL_S
