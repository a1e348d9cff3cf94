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
    method: str | None = None
    body_contains: str | None = None
    nth: int | None = Field(default=None, ge=1)
    every: int | None = Field(default=None, ge=1)

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
    every_s: float = Field(default=0.5, ge=0)


class KillAt(Strict):
    """When a process is signalled: one of four moments; the default is once the request is whole."""

    request_bytes: int | None = None
    request: Literal["whole"] | None = None
    response_bytes: int | None = None
    response: Literal["whole"] | None = None


class FakedAnswer(BaseModel):
    """A vendor answer; further names are further fields of its body."""

    model_config = ConfigDict(extra="allow")

    errcode: int
    errmsg: str | None = None
    extra: dict[str, Any] = Field(default_factory=dict)

    def fields(self) -> dict[str, Any]:
        """The body besides errcode and errmsg."""
        return {**(self.model_extra or {}), **self.extra}


class FaultAction(Strict):
    """What happens: exactly one of KINDS, with the names that belong to it.

    `apply`: the call takes effect although its answer is broken. It is true by default for kill, and always for
    drip, delay and what breaks the response; false by default for answer, status and hang.
    """

    answer: FakedAnswer | None = None
    status: int | None = None
    body: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    hang: float | None = None
    cut_request_after: int | None = Field(default=None, ge=0)
    reset_request_after: int | None = Field(default=None, ge=0)
    cut_response_after: int | None = Field(default=None, ge=0)
    reset_response_after: int | None = Field(default=None, ge=0)
    drip: Drip | None = None
    kill: int | Literal["peer"] | None = None
    signal: str = "KILL"
    at: KillAt = Field(default_factory=KillAt)
    delay: float | None = None
    apply: bool | None = None

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
