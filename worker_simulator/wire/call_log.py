"""The log of vendor calls, in the order their first line arrived, with how much of each came in and went out.

Does not know what a call did.
"""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from worker_simulator.answers import HttpAnswer
from worker_simulator.request import HttpRequest
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
