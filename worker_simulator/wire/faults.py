"""Fault rules: which calls they break, how often, and how.

A rule that applies before the body is complete (cut_request_after, reset_request_after, kill at request_bytes) can
match only by path, method and count.
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


class StrictModel(BaseModel):
    """A model that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid")


class Match(StrictModel):
    """Which calls a rule breaks: all named conditions hold; `nth` (from 1) and `every` count the matching calls."""

    path: str | None = None
    """The path of the call, or None for any."""
    method: str | None = None
    """The method of the call, or None for any."""
    body_contains: str | None = None
    """A text in the body, or None. Not allowed if the fault happens before the request is complete."""
    nth: int | None = Field(default=None, ge=1)
    """The call of this number, from 1, among those that match."""
    every: int | None = Field(default=None, ge=1)
    """Each call whose number among those that match is a multiple of it."""

    def matches(self, method: str, path: str, body: bytes | None) -> bool:
        """True if the call matches, apart from `nth` and `every`."""
        if self.body_contains is not None and self.body_contains.encode() not in (body or b""):
            return False
        return self.path in (None, path) and self.method in (None, method)

    def includes(self, number: int) -> bool:
        """True if `nth` and `every` include the matching call of this number."""
        return self.nth in (None, number) and (self.every is None or number % self.every == 0)


class Drip(StrictModel):
    """How slowly an answer leaves."""

    bytes: int = Field(default=1, ge=1)
    """Bytes of a piece."""
    every_s: float = Field(default=0.5, ge=0)
    """Seconds between two pieces."""


class KillAt(StrictModel):
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
    """An answer in the vendor's form. Unknown keys are further fields of its body."""

    model_config = ConfigDict(extra="allow")

    errcode: int
    """The errcode that is answered."""
    errmsg: str | None = None
    """The errmsg, or None for the simulator's text for this errcode."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the body."""

    def fields(self) -> dict[str, Any]:
        """Returns the fields of the body apart from errcode and errmsg."""
        return {**(self.model_extra or {}), **self.extra}


class FaultAction(StrictModel):
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
    """Whether the call takes effect although its answer is broken, or None for the default: `kill` true; `answer`,
    `status` and `hang` false."""

    @model_validator(mode="after")
    def _one_kind(self) -> "FaultAction":
        if len([kind for kind in KINDS if kind in self.model_fields_set]) != 1:
            raise ValueError(f"an action is exactly one of {', '.join(KINDS)}")
        if f"SIG{self.signal}" not in signal.Signals.__members__:
            raise ValueError(f"unknown signal {self.signal}")
        return self

    @property
    def kind(self) -> str:
        """The one of KINDS that is set."""
        return next(kind for kind in KINDS if kind in self.model_fields_set)

    @property
    def applies(self) -> bool:
        """True if the call takes effect."""
        return self.apply if self.apply is not None else self.kind not in ("answer", "status", "hang", *EARLY)

    @property
    def kills_late(self) -> bool:
        """True if a kill happens after bytes of the answer were sent."""
        return self.at.response is not None or self.at.response_bytes is not None

    @property
    def fault_at(self) -> int | None:
        """After how many bytes of the request the fault happens, or None if only after the whole request."""
        if self.kind == "kill":
            return self.at.request_bytes
        return {"cut_request_after": self.cut_request_after, "reset_request_after": self.reset_request_after}.get(
            self.kind
        )


class FaultRule(StrictModel):
    """A match, an action, and how many calls it may break at most."""

    match: Match = Field(default_factory=Match)
    times: int | None = Field(default=None, ge=1)
    """How many calls the rule breaks, or None for all."""
    action: FaultAction

    @model_validator(mode="after")
    def _body_must_be_there(self) -> "FaultRule":
        if self.action.fault_at is not None and self.match.body_contains is not None:
            raise ValueError("body_contains cannot match before the body has arrived; match by path, method or nth")
        return self


class RuleCounter:
    """A rule, how many calls matched it, and how many it broke."""

    def __init__(self, rule: FaultRule) -> None:
        self.rule = rule
        self.matched = 0
        self.hits = 0

    def applies_to(self, method: str, path: str, body: bytes | None) -> bool:
        """Counts a call if it matches. Returns True if the rule breaks it."""
        if not self.rule.match.matches(method, path, body):
            return False
        self.matched += 1
        return self.rule.match.includes(self.matched) and (self.rule.times is None or self.hits < self.rule.times)


class FaultRules:
    """All rules in the order they were added. The first that applies wins."""

    def __init__(self) -> None:
        self._rules: list[RuleCounter] = []

    def add(self, rules: list[FaultRule]) -> None:
        """Appends rules."""
        self._rules += [RuleCounter(rule) for rule in rules]

    def clear(self) -> None:
        """Removes all rules."""
        self._rules.clear()

    def to_json(self) -> list[dict[str, Any]]:
        """Returns the rules with their counts for the control API."""
        return [
            {**counter.rule.model_dump(exclude_unset=True), "matched": counter.matched, "hits": counter.hits}
            for counter in self._rules
        ]

    def while_receiving(self, method: str, path: str) -> FaultAction | None:
        """Returns what happens to this call while its request arrives, or None."""
        return self._action_for(method, path, None, while_receiving=True)

    def on_request(self, method: str, path: str, body: bytes) -> FaultAction | None:
        """Returns what happens to this call once its request is complete, or None."""
        return self._action_for(method, path, body, while_receiving=False)

    def _action_for(self, method: str, path: str, body: bytes | None, *, while_receiving: bool) -> FaultAction | None:
        action = None
        for counter in self._rules:
            if (counter.rule.action.fault_at is not None) is not while_receiving:
                continue
            if counter.applies_to(method, path, body) and action is None:
                counter.hits += 1
                action = counter.rule.action
        return action
