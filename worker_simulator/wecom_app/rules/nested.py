"""Tables: the rules of an object, one after another.

Rules for nested objects, lists, and fields that need each other.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.findings import Code, Findings, too_long, typed


class Rule(Protocol):
    """Checks a part of an object."""

    @property
    def names(self) -> tuple[str, ...]:
        """The fields it defines. Empty if it only compares fields of other rules."""
        ...

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Raises Refused if the vendor would."""
        ...


@dataclass(frozen=True, slots=True)
class SingleFieldRule:
    """Base class of rules for one field."""

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """See `Rule`."""
        return (self.name,)


class Table:
    """The rules of one object. Other fields are not displayed, or refused with `undefined`."""

    def __init__(self, *rules: Rule, undefined: Code = 0) -> None:
        self._rules = rules
        self._undefined = undefined
        self._names = frozenset(name for rule in rules for name in rule.names)

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Checks an object by every rule, in order."""
        for rule in self._rules:
            rule.check(body, path, findings)
        for name in [name for name in body if name not in self._names]:
            findings.refuse(self._undefined, f"invalid param '{path}.{name}'")
            findings.alter(f"{path}.{name}", "not defined")
            del body[name]


@dataclass(frozen=True, slots=True)
class Group(SingleFieldRule):
    """A nested object with its table. It may be absent or empty unless `missing` is an errcode."""

    table: Table
    missing: Code = 0

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Check the object."""
        value = typed(body, self.name, dict, findings, path)
        if value:
            self.table.check(value, f"{path}.{self.name}", findings)
        else:
            findings.refuse(self.missing, f"invalid param '{path}.{self.name}'")


@dataclass(frozen=True, slots=True)
class Items(SingleFieldRule):
    """A list of objects, each checked by `table`, without repeats in the field `unique`.

    More than `limit` objects get the errcode `over`.
    """

    limit: int
    over: Code
    table: Table
    missing: Code = 0
    unique: tuple[str, Code] | None = None

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Checks length, entries and repeats."""
        place = f"{path}.{self.name}"
        entries = typed(body, self.name, list, findings, path) or []
        if not entries:
            findings.refuse(self.missing, f"invalid param '{place}'")
        if len(entries) > self.limit:
            findings.refuse(self.over, too_long(place, self.limit))
        for number, entry in enumerate(entries):
            self._check_entry(entry, f"{place}[{number}]", findings)
        self._check_unique(entries, place, findings)

    def _check_entry(self, entry: Any, place: str, findings: Findings) -> None:
        if not isinstance(entry, dict):
            raise Refused(40058, f"invalid param '{place}'")
        self.table.check(entry, place, findings)

    def _check_unique(self, entries: list[Json], place: str, findings: Findings) -> None:
        if self.unique is None:
            return
        name, code = self.unique
        # Where its type needs no such field, it was not checked, and may be anything.
        values = [value for entry in entries if isinstance(value := entry.get(name), str) and value]
        if len(set(values)) < len(values):
            findings.refuse(code, f"invalid param '{place}.{name}'")


class ByType:
    """The field that an object needs by its `type` (0 if absent). Unknown types get the errcode `unknown_type`.

    The fields of other types are defined, but not checked.
    """

    def __init__(self, rules: dict[int, Rule], *, unknown_type: Code = 0) -> None:
        self._rules = rules
        self._unknown_type = unknown_type

    @property
    def names(self) -> tuple[str, ...]:
        """See `Rule`."""
        return ("type", *(name for rule in self._rules.values() for name in rule.names))

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Checks the type and its field."""
        kind = typed(body, "type", int, findings, path) or 0
        if kind not in self._rules:
            findings.refuse(self._unknown_type, f"invalid param '{path}.type'")
        else:
            self._rules[kind].check(body, path, findings)


class NoField:
    """A type without a field of its own."""

    names: tuple[str, ...] = ()

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Checks nothing."""


@dataclass(frozen=True, slots=True)
class AtLeastOne:
    """At least one of these paths must have a value."""

    paths: tuple[str, ...]
    missing: Code

    @property
    def names(self) -> tuple[str, ...]:
        """See `Rule`. The fields have their own rules."""
        return ()

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Checks that one has a value."""
        if not any(_reach(body, dotted) for dotted in self.paths):
            findings.refuse(self.missing, f"invalid param '{path}.{self.paths[0]}'")


def _reach(body: Any, path: str) -> Any:
    for name in path.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return body
