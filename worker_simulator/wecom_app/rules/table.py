"""Rules one after another, as a table for one object.

Does not know what any rule looks at.
"""

from typing import Protocol

from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.findings import Code, Findings


class Rule(Protocol):
    """Checks one place of an object."""

    @property
    def names(self) -> tuple[str, ...]:
        """The fields it knows; none when it only compares fields of other rules."""
        ...

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Raise Refused when the vendor would."""
        ...


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
