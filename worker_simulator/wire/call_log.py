"""What is stored of vendor calls: the log, the rules that applied to each call, and the newest uploaded files."""

from collections import Counter, OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from worker_simulator.answers import HttpAnswer
from worker_simulator.clock import Clock
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.wire.faults import FaultAction

LOGGED_HEADERS = ("host", "content-type", "content-length", "transfer-encoding", "user-agent", "connection")


@dataclass(slots=True)
class LoggedCall:
    """One vendor call.

    `received` is none, head, partial or whole; `answered` is none, partial or whole. `answer` is the vendor's answer,
    even if a fault kept it from being sent, or None if the call took no effect.
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
    """The action of the fault rule that matched."""

    def to_json(self) -> dict[str, Any]:
        """Returns the call for the control API, with nothing redacted."""
        request = self.request
        return {
            "seq": self.seq,
            "time": self.time,
            "real": self.real,
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "headers": {name: request.headers[name] for name in LOGGED_HEADERS if name in request.headers},
            "body": self.upload or request.body.decode("utf-8", "replace"),
            "received": self.received,
            "answered": self.answered,
            "answer": _answer_json(self.answer),
            "fault": self.fault,
            "ip": request.ip,
            "port": request.port,
        }


def _answer_json(answer: HttpAnswer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    return {"status": answer.status, "errcode": answer.errcode, "body": answer.body.decode("utf-8", "replace")}


class CallLog:
    """The newest calls, oldest first, and a counter by path."""

    def __init__(self, max_calls: int) -> None:
        self._calls: deque[LoggedCall] = deque(maxlen=max_calls)
        self._counts: Counter[str] = Counter()
        self._seq = 0
        self.carried_out = 0
        """The number of calls that were carried out. Open pages compare it to notice new calls."""

    def begin(self, request: HttpRequest, *, now: float, real: float) -> LoggedCall:
        """Adds a call that starts to arrive, and gives it the next number."""
        self._seq += 1
        request.seq = self._seq
        call = LoggedCall(self._seq, now, real, request)
        self._calls.append(call)
        self._counts[request.path] += 1
        return call

    def to_json(self, path: str | None, since: int) -> list[dict[str, Any]]:
        """Returns the calls with a number above `since`, of one path or of all."""
        return [call.to_json() for call in self._calls if call.seq > since and path in (None, call.request.path)]

    @property
    def last_seq(self) -> int:
        """The number of the newest call, or 0 if there is none."""
        return self._seq

    def find(self, seq: int) -> LoggedCall | None:
        """Returns the call with this number, or None if there is none or it was dropped from the log."""
        index = seq - self._calls[0].seq if self._calls else -1
        return self._calls[index] if 0 <= index < len(self._calls) else None

    def newest(self, before: int | None = None) -> Iterator[LoggedCall]:
        """Yields the calls, newest first. With `before`, only those with a smaller number."""
        return (call for call in reversed(self._calls) if before is None or call.seq < before)

    def counts(self) -> dict[str, int]:
        """Returns the number of calls by path, including incomplete ones."""
        return dict(self._counts)


@dataclass(frozen=True, slots=True)
class RecentFile:
    """An uploaded file."""

    name: str
    """The file name. Empty for a picture that came without one."""
    content: bytes


class RecentFiles:
    """The newest uploads by media_id, by the URL of a permanent picture, or by the MD5 of a webhook's picture."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._files: OrderedDict[str, RecentFile] = OrderedDict()
        self._bytes = 0

    def add(self, key: str, name: str, content: bytes) -> None:
        """Stores a file, and drops the oldest ones above `keep_file_bytes` in all."""
        replaced = self._files.pop(key, None)
        self._bytes += len(content) - (len(replaced.content) if replaced else 0)
        self._files[key] = RecentFile(name, content)
        while self._bytes > self._settings.keep_file_bytes:
            _, oldest = self._files.popitem(last=False)
            self._bytes -= len(oldest.content)

    def find(self, key: str) -> RecentFile | None:
        """Returns a file, or None if it is unknown or was dropped."""
        return self._files.get(key)


Rule = Literal["limit", "drop", "blocked", "duplicate", "unknown", "recall", "recalled", "update", "updated"]
MAX_RULINGS = 100_000
"""The number of rulings that are stored in all, some 300 bytes each."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """One rule that applied to one call."""

    rule: Rule
    time: float
    """Virtual Unix time."""
    about: dict[str, Any]
    """What the rule compared: a limit's key, amount and window, ids, the number of another call."""


class Rulings:
    """Rulings by call number. Above `MAX_RULINGS` those of the oldest calls are dropped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_call: OrderedDict[int, list[Ruling]] = OrderedDict()
        self._count = 0
        self.recorded = 0
        """The number of rulings ever recorded. Open pages compare it to notice new ones."""

    def record(self, seq: int, rule: Rule, /, **about: Any) -> None:
        """Records that a rule applied to a call."""
        self._by_call.setdefault(seq, []).append(Ruling(rule, self._clock.now(), about))
        self.recorded += 1
        self._count += 1
        while self._count > MAX_RULINGS:
            _, oldest = self._by_call.popitem(last=False)
            self._count -= len(oldest)

    def of(self, seq: int) -> list[Ruling]:
        """Returns the rulings of a call, in the order they applied."""
        return self._by_call.get(seq, [])
