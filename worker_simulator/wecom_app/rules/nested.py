"""Rules one after another as a table for one object; objects inside objects, lists, fields that need each other.

Does not know which of them there are.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.findings import Code, Findings, above, typed


class Rule(Protocol):
    """Checks one place of an object."""

    @property
    def names(self) -> tuple[str, ...]:
        """The fields it knows; none when it only compares fields of other rules."""
        ...

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Raise Refused when the vendor would."""
        ...


@dataclass(frozen=True, slots=True)
class OfField:
    """Base of the rules of one field."""

    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """See `Rule`."""
        return (self.name,)


class Table:
    """The rules of one object, checked in their order; other fields are not shown, or refused with `undefined`."""

    def __init__(self, *rules: Rule, undefined: Code = 0) -> None:
        self._rules = rules
        self._undefined = undefined
        self._names = frozenset(name for rule in rules for name in rule.names)

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check an object by every rule."""
        for rule in self._rules:
            rule.check(body, path, found)
        for name in [name for name in body if name not in self._names]:
            found.refuse(self._undefined, f"invalid param '{path}.{name}'")
            found.alter(f"{path}.{name}", "not defined")
            del body[name]


@dataclass(frozen=True, slots=True)
class Group(OfField):
    """An object with a table of its own; it may be absent or empty unless `missing` is a code."""

    table: Table
    missing: Code = 0

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check the object."""
        value = typed(body, self.name, dict, found, path)
        if value:
            self.table.check(value, f"{path}.{self.name}", found)
        else:
            found.refuse(self.missing, f"invalid param '{path}.{self.name}'")


@dataclass(frozen=True, slots=True)
class Items(OfField):
    """A list of objects: at most `most` (else the code `length`), each by `table`, and `unique` in one field."""

    most: int
    length: Code
    table: Table
    missing: Code = 0
    unique: tuple[str, Code] | None = None

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check length, entries and uniqueness."""
        place = f"{path}.{self.name}"
        entries = typed(body, self.name, list, found, path) or []
        if not entries:
            found.refuse(self.missing, f"invalid param '{place}'")
        if len(entries) > self.most:
            found.refuse(self.length, above(place, self.most))
        for number, entry in enumerate(entries):
            self._check_entry(entry, f"{place}[{number}]", found)
        self._check_unique(entries, place, found)

    def _check_entry(self, entry: Any, place: str, found: Findings) -> None:
        if not isinstance(entry, dict):
            raise Refused(40058, f"invalid param '{place}'")
        self.table.check(entry, place, found)

    def _check_unique(self, entries: list[Json], place: str, found: Findings) -> None:
        if self.unique is None:
            return
        name, code = self.unique
        values = [entry[name] for entry in entries if entry.get(name)]
        if len(set(values)) < len(values):
            found.refuse(code, f"invalid param '{place}.{name}'")


class ByType:
    """The field an object needs by its `type` (absent is 0); other types are refused with `bad`, if it is a code.

    A field that belongs to another type is only known, not checked.
    """

    def __init__(self, needs: dict[int, Rule], *, bad: Code = 0) -> None:
        self._needs = needs
        self._bad = bad

    @property
    def names(self) -> tuple[str, ...]:
        """See `Rule`."""
        return ("type", *(name for rule in self._needs.values() for name in rule.names))

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check the type and the field it needs."""
        kind = typed(body, "type", int, found, path) or 0
        if kind not in self._needs:
            found.refuse(self._bad, f"invalid param '{path}.type'")
        else:
            self._needs[kind].check(body, path, found)


class Nothing:
    """Needs nothing: a type that has no field of its own."""

    names: tuple[str, ...] = ()

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Nothing to check."""


@dataclass(frozen=True, slots=True)
class EitherOf:
    """At least one of these paths must hold something."""

    paths: tuple[str, ...]
    missing: Code

    @property
    def names(self) -> tuple[str, ...]:
        """See `Rule`: the fields have rules of their own."""
        return ()

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check that one is there and not empty."""
        if not any(_reach(body, wanted) for wanted in self.paths):
            found.refuse(self.missing, f"invalid param '{path}.{self.paths[0]}'")


def _reach(body: Any, path: str) -> Any:
    for name in path.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return body
