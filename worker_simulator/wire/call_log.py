"""What is remembered of vendor calls: their log, what acted on each, and the bytes of the newest uploads.

Does not know what a call did, who may use a file, and how long the vendor says it lives.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from worker_simulator.answers import HttpAnswer
from worker_simulator.clock import Clock
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.wire.faults import FaultAction

HEADERS_KEPT = ("host", "content-type", "content-length", "transfer-encoding", "user-agent", "connection")


@dataclass(slots=True)
class LoggedCall:
    """One vendor call; `received` is none, head, partial or whole, `answered` is none, partial or whole.

    `answer` is what the vendor decided, also where a fault kept it from leaving; None when the call took no effect.
    """

    seq: int
    time: float
    real: float
    request: HttpRequest
    received: str = "none"
    answered: str = "none"
    answer: HttpAnswer | None = None
    upload: dict[str, Any] | None = None
    fault: str | None = None
    action: FaultAction | None = None
    """What the fault rule that struck it says."""

    def shown(self) -> dict[str, Any]:
        """The call as control shows it, nothing redacted."""
        request = self.request
        return {
            "seq": self.seq,
            "time": self.time,
            "real": self.real,
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": {name: request.headers[name] for name in HEADERS_KEPT if name in request.headers},
            "body": self.upload or request.body.decode("utf-8", "replace"),
            "received": self.received,
            "answered": self.answered,
            "answer": _shown_answer(self.answer),
            "fault": self.fault,
            "ip": request.ip,
            "port": request.port,
        }


def _shown_answer(answer: HttpAnswer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    return {"status": answer.status, "errcode": answer.errcode, "body": answer.body.decode("utf-8", "replace")}


class CallLog:
    """The last calls, oldest first, and counts of all."""

    def __init__(self, keep: int) -> None:
        self._calls: deque[LoggedCall] = deque(maxlen=keep)
        self._counts: Counter[str] = Counter()
        self._seq = 0
        self.carried_out = 0
        """How many calls were decided, so that a look can tell whether there are new ones."""

    def begin(self, request: HttpRequest, *, now: float, real: float) -> LoggedCall:
        """Note that a call has begun to arrive and give it its number."""
        self._seq += 1
        request.seq = self._seq
        call = LoggedCall(self._seq, now, real, request)
        self._calls.append(call)
        self._counts[request.path] += 1
        return call

    def shown(self, path: str | None, since: int) -> list[dict[str, Any]]:
        """The calls of a path (or all) with a number above `since`."""
        return [call.shown() for call in self._calls if call.seq > since and path in (None, call.request.path)]

    @property
    def last_seq(self) -> int:
        """The number of the newest call; 0 before the first."""
        return self._seq

    def find(self, seq: int) -> LoggedCall | None:
        """The call of a number, or None where it is none or was forgotten."""
        at = seq - self._calls[0].seq if self._calls else -1
        return self._calls[at] if 0 <= at < len(self._calls) else None

    def newest(self, before: int | None = None) -> Iterator[LoggedCall]:
        """The calls, newest first; of numbers below `before` where that is given."""
        return (call for call in reversed(self._calls) if before is None or call.seq < before)

    def counts(self) -> dict[str, int]:
        """Calls by path, arrived whole or not."""
        return dict(self._counts)


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file as it came."""

    name: str
    """Its file name; empty for a picture that came without one."""
    content: bytes


class KeptFiles:
    """Files by media_id, by the address of a permanent picture, or by the MD5 of a webhook's picture."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._files: OrderedDict[str, KeptFile] = OrderedDict()
        self._bytes = 0

    def keep(self, key: str, name: str, content: bytes) -> None:
        """Keep a file, and let go of the oldest ones beyond `keep_file_bytes`."""
        before = self._files.pop(key, None)
        self._bytes += len(content) - (len(before.content) if before else 0)
        self._files[key] = KeptFile(name, content)
        while self._bytes > self._settings.keep_file_bytes:
            _, oldest = self._files.popitem(last=False)
            self._bytes -= len(oldest.content)

    def find(self, key: str) -> KeptFile | None:
        """A file, or None where it never came or was let go."""
        return self._files.get(key)


Rule = Literal["limit", "drop", "blocked", "duplicate", "unknown", "recall", "recalled", "update", "updated"]
MOST = 100_000
"""Rulings that are kept in all, at some 300 bytes each."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """One rule that acted on one call."""

    rule: Rule
    time: float
    """Virtual Unix time."""
    about: dict[str, Any]
    """What the rule looked at: a limit's key, amount and window, ids, the number of another call."""


class Rulings:
    """Rulings by the number of their call; beyond `MOST` those of the oldest calls are forgotten."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_call: OrderedDict[int, list[Ruling]] = OrderedDict()
        self._kept = 0
        self.noted = 0
        """How many there ever were, so that a look can tell whether there are new ones."""

    def note(self, seq: int, rule: Rule, /, **about: Any) -> None:
        """Note that a rule acted on a call."""
        self._by_call.setdefault(seq, []).append(Ruling(rule, self._clock.now(), about))
        self.noted += 1
        self._kept += 1
        while self._kept > MOST:
            _, oldest = self._by_call.popitem(last=False)
            self._kept -= len(oldest)

    def of(self, seq: int) -> list[Ruling]:
        """What acted on one call, in its order."""
        return self._by_call.get(seq, [])
