"""The duplicate check of message/send: which requests count as the same, and for how long.

Does not know messages and recipients. Official words: the same request JSON within the interval; the rest is
unconfirmed, hence settings.
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
class Seen:
    """An original request: when it was seen and what it was answered."""

    at: float
    fields: dict[str, Any] = field(default_factory=dict)


class Duplicates:
    """Requests seen, per app."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._seen: dict[tuple[str, bytes], Seen] = {}

    def key(self, app: str, raw: bytes, body: Json) -> tuple[str, bytes]:
        """The key that two equal requests share; has to be computed before anything cuts the body."""
        compare = self._settings.duplicate.compare
        if compare != "bytes":
            content = {name: value for name, value in body.items() if name not in FLAGS}
            raw = json.dumps(content, sort_keys=compare == "sorted").encode()
        return app, hashlib.sha256(raw).digest()

    def original(self, key: tuple[str, bytes], body: Json, now: float) -> Seen | None:
        """The request this one repeats, if it asks for the check and one is inside its interval."""
        seen, longest_s = self._seen.get(key), self._settings.duplicate.longest_s
        if not flagged(body) or seen is None or now - seen.at >= min(interval(body), longest_s):
            return None
        if self._settings.duplicate.repeat_extends:
            seen.at = now
        return seen

    def remember(self, key: tuple[str, bytes], body: Json, now: float, fields: dict[str, Any]) -> None:
        """Note an accepted request."""
        if flagged(body) or self._settings.duplicate.unflagged_counts:
            self._seen[key] = Seen(now, fields)

    def remember_refused(self, key: tuple[str, bytes], body: Json, now: float) -> None:
        """Note a refused request, if the setting says that such count; an accepted one is not overwritten."""
        if self._settings.duplicate.refused_counts and self.original(key, body, now) is None:
            self.remember(key, body, now, {})


def flagged(body: Json) -> bool:
    """Whether a request asks for the check."""
    return str(body.get("enable_duplicate_check", 0)) in ("1", "True")


def interval(body: Json) -> float:
    """The interval a request asks for, in seconds."""
    value = body.get("duplicate_check_interval")
    return float(value) if isinstance(value, int) and value > 0 else DEFAULT_INTERVAL_S
