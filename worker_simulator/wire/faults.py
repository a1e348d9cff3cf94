"""Rules that break calls: which calls, how often, and how.

Does not know sockets; it only says what shall happen. A rule that must decide before the body is whole
(cut_request_after, reset_request_after, kill at request_bytes) is matched by path, method and count alone.
"""

import signal
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

KINDS = (
    "answer",
    "status",
    "hang",
    "cut_request_after",
    "reset_request_after",
    "cut_response_after",
    "reset_response_after",
    "drip",
    "kill",
    "delay",
)
EARLY = ("cut_request_after", "reset_request_after")


class Strict(BaseModel):
    """Unknown names are refused."""

    model_config = ConfigDict(extra="forbid")


class Match(Strict):
    """Which calls a rule breaks: all named conditions hold; `nth` (from 1) and `every` count the matching calls."""

    path: str | None = None
    """The path of a call; None: any."""
    method: str | None = None
    """The method of a call; None: any."""
    body_contains: str | None = None
    """A text that stands in the body; None: any body. Not with what happens before the request is whole."""
    nth: int | None = Field(default=None, ge=1)
    """The call of this number, from 1, among those that match."""
    every: int | None = Field(default=None, ge=1)
    """Each call whose number among those that match is a multiple of it."""

    def takes(self, method: str, path: str, body: bytes | None) -> bool:
        """Whether a call matches, counts aside."""
        if self.body_contains is not None and self.body_contains.encode() not in (body or b""):
            return False
        return self.path in (None, path) and self.method in (None, method)

    def turn(self, number: int) -> bool:
        """Whether it is the turn of the `number`th matching call."""
        return self.nth in (None, number) and (self.every is None or number % self.every == 0)


class Drip(Strict):
    """How slowly an answer leaves."""

    bytes: int = Field(default=1, ge=1)
    """Bytes of a piece."""
    every_s: float = Field(default=0.5, ge=0)
    """The pause behind each piece."""


class KillAt(Strict):
    """When a process is signalled: one of four moments; the default is once the request is whole."""

    request_bytes: int | None = None
    """Beside `kill`: once so many bytes of the request are there."""
    request: Literal["whole"] | None = None
    """Beside `kill`: once the request is whole, which is the default."""
    response_bytes: int | None = None
    """Beside `kill`: once so many bytes of the answer have left."""
    response: Literal["whole"] | None = None
    """Beside `kill`: once the answer has left."""


class FakedAnswer(BaseModel):
    """A vendor answer; further names are further fields of its body."""

    model_config = ConfigDict(extra="allow")

    errcode: int
    """The errcode that is answered."""
    errmsg: str | None = None
    """The text beside it; None: the simulator's for this code."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the body."""

    def fields(self) -> dict[str, Any]:
        """The body besides errcode and errmsg."""
        return {**(self.model_extra or {}), **self.extra}


class FaultAction(Strict):
    """What happens: exactly one of KINDS, with the names that belong to it.

    `apply`: the call takes effect although its answer is broken. It is true by default for kill, and always for
    drip, delay and what breaks the response; false by default for answer, status and hang.
    """

    answer: FakedAnswer | None = None
    """The vendor's form of an answer: `errcode`, `errmsg`, and further fields of its body, by name or in `extra`."""
    status: int | None = None
    """The status of an HTTP response that is none of the vendor's."""
    body: str = ""
    """Beside `status`: the body."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Beside `status`: headers of the response."""
    hang: float | None = None
    """Seconds without an answer, after which the connection is closed; `null`: it never is."""
    cut_request_after: int | None = Field(default=None, ge=0)
    """Bytes of the request, after which the connection ends (FIN)."""
    reset_request_after: int | None = Field(default=None, ge=0)
    """Bytes of the request, after which the connection is reset (RST)."""
    cut_response_after: int | None = Field(default=None, ge=0)
    """Bytes of the answer, after which the connection ends (FIN)."""
    reset_response_after: int | None = Field(default=None, ge=0)
    """Bytes of the answer, after which the connection is reset (RST)."""
    drip: Drip | None = None
    """The answer leaves in small pieces."""
    kill: int | Literal["peer"] | None = None
    """The id of the process that is signalled; `peer`: the one at the other end of the connection (Linux, same
    host)."""
    signal: str = "KILL"
    """Beside `kill`: the signal's name without SIG."""
    at: KillAt = Field(default_factory=KillAt)
    delay: float | None = None
    """Seconds by which the answer is late."""
    apply: bool | None = None
    """Whether the call takes effect although its answer is broken; None: for `kill` it does, for `answer`, `status` and
    `hang` it does not."""

    @model_validator(mode="after")
    def _one_kind(self) -> "FaultAction":
        if len([kind for kind in KINDS if kind in self.model_fields_set]) != 1:
            raise ValueError(f"an action is exactly one of {', '.join(KINDS)}")
        if f"SIG{self.signal}" not in signal.Signals.__members__:
            raise ValueError(f"unknown signal {self.signal}")
        return self

    @property
    def kind(self) -> str:
        """Which of KINDS it is."""
        return next(kind for kind in KINDS if kind in self.model_fields_set)

    @property
    def applies(self) -> bool:
        """Whether the call takes effect."""
        return self.apply if self.apply is not None else self.kind not in ("answer", "status", "hang", *EARLY)

    @property
    def kills_late(self) -> bool:
        """Whether a kill waits for the answer."""
        return self.at.response is not None or self.at.response_bytes is not None

    @property
    def early_at(self) -> int | None:
        """At how many bytes of the request it strikes; None when only after the whole request."""
        if self.kind == "kill":
            return self.at.request_bytes
        return {"cut_request_after": self.cut_request_after, "reset_request_after": self.reset_request_after}.get(
            self.kind
        )


class FaultRule(Strict):
    """A match, an action, and how many calls it may break at most."""

    match: Match = Field(default_factory=Match)
    times: int | None = Field(default=None, ge=1)
    """How often the rule applies; None: always."""
    action: FaultAction

    @model_validator(mode="after")
    def _body_must_be_there(self) -> "FaultRule":
        if self.action.early_at is not None and self.match.body_contains is not None:
            raise ValueError("body_contains cannot match before the body has arrived; match by path, method or nth")
        return self


class CountedRule:
    """A rule with its matches and hits so far."""

    def __init__(self, rule: FaultRule) -> None:
        self.rule = rule
        self.matched = 0
        self.hits = 0

    def strikes(self, method: str, path: str, body: bytes | None) -> bool:
        """Count a call if it matches; whether it shall be broken."""
        if not self.rule.match.takes(method, path, body):
            return False
        self.matched += 1
        return self.rule.match.turn(self.matched) and (self.rule.times is None or self.hits < self.rule.times)


class FaultBook:
    """All rules, in the order they were given; the first that strikes wins."""

    def __init__(self) -> None:
        self._rules: list[CountedRule] = []

    def add(self, rules: list[FaultRule]) -> None:
        """Append rules."""
        self._rules += [CountedRule(rule) for rule in rules]

    def clear(self) -> None:
        """Remove all rules."""
        self._rules.clear()

    def shown(self) -> list[dict[str, Any]]:
        """The rules with their counts."""
        return [
            {**counted.rule.model_dump(exclude_unset=True), "matched": counted.matched, "hits": counted.hits}
            for counted in self._rules
        ]

    def early(self, method: str, path: str) -> FaultAction | None:
        """What shall happen while the request arrives."""
        return self._strike(method, path, None, early=True)

    def late(self, method: str, path: str, body: bytes) -> FaultAction | None:
        """What shall happen once the request is whole."""
        return self._strike(method, path, body, early=False)

    def _strike(self, method: str, path: str, body: bytes | None, *, early: bool) -> FaultAction | None:
        striking = None
        for counted in self._rules:
            if (counted.rule.action.early_at is not None) is not early:
                continue
            if counted.strikes(method, path, body) and striking is None:
                counted.hits += 1
                striking = counted.rule.action
        return striking
