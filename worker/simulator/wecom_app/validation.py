"""The kinds of rules a message body is checked with; the rules themselves are tables (`body_rules`, `card_rules`).

Refuses to know any message type. A rule checks one place of a body, raises the vendor's code, cuts what the vendor
cuts (in place), and notes media ids and values of the wrong type.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from worker.simulator.answers import Refused
from worker.simulator.request import Json
from worker.simulator.settings import CodeSettings

CUT = "cut"
"""In place of a code: too long is cut in silence."""


@dataclass(slots=True)
class Findings:
    """What a check found besides errors."""

    codes: CodeSettings
    media: list[tuple[str, str]] = field(default_factory=list)
    wrong_format: bool = False

    def code(self, code: int | str) -> int:
        """A code, or the setting a name stands for."""
        return int(getattr(self.codes, code)) if isinstance(code, str) else code


class Rule(Protocol):
    """Checks one place of a body."""

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Raise Refused when the vendor would."""
        ...


def check_all(rules: Sequence[Rule], body: Json, path: str, found: Findings) -> None:
    """Check a body by every rule, in the table's order."""
    for rule in rules:
        rule.check(body, path, found)


def typed(body: Json, name: str, kind: type, found: Findings) -> Any:
    """A value if it has the expected type; a wrong type counts as absent and draws the wrong-format warning."""
    value = body.get(name)
    if value is None or (isinstance(value, kind) and not (kind is int and isinstance(value, bool))):
        return value
    found.wrong_format = True
    return None


@dataclass(frozen=True, slots=True)
class Text:
    """A string: `missing` is the code when absent or empty, `over` the code (or CUT) beyond `limit`.

    `suggested` is a length that is only advice.
    """

    name: str
    missing: int | None = None
    limit: int = 0
    over: int | str = "field_too_long"
    unit: str = "bytes"
    suggested: int = 0
    scheme: bool = False

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check presence, length and scheme."""
        value = typed(body, self.name, str, found) or ""
        if not value:
            if self.missing:
                raise Refused(self.missing)
            return
        self._check_length(body, value, f"{path}.{self.name}", found)
        if self.scheme and not value.startswith(("http://", "https://")):
            raise Refused(found.codes.url_without_scheme)

    def _check_length(self, body: Json, value: str, path: str, found: Findings) -> None:
        unit = found.codes.textcard_unit if self.unit == "textcard" else self.unit
        if self.limit and measure(value, unit) > self.limit:
            if self.over != CUT:
                raise Refused(found.code(self.over), too_long(found.code(self.over), path, self.limit))
            body[self.name] = cut(value, self.limit, unit, found.codes.cut_character)
        if found.codes.suggested_length and 0 < self.suggested < len(value):
            code = found.codes.suggested_length
            raise Refused(code, too_long(code, path, self.suggested))


def measure(text: str, unit: str) -> int:
    """The length in bytes of UTF-8, or in characters."""
    return len(text.encode()) if unit == "bytes" else len(text)


def cut(text: str, limit: int, unit: str, broken: str) -> str:
    """What is left of a text the vendor cuts."""
    if unit != "bytes":
        return text[:limit]
    return text.encode()[:limit].decode("utf-8", "ignore" if broken == "dropped" else "replace")


def too_long(code: int, path: str, limit: int) -> str:
    """The observed text of 40058; empty (the code's own text) for others."""
    return f"{path} exceed max length {limit}. invalid Request Parameter" if code == 40058 else ""


@dataclass(frozen=True, slots=True)
class Chinese:
    """A text measured in Chinese characters (ASCII counts half: inferred)."""

    name: str
    most: int
    over: int
    least: int = 0
    missing: int | None = None

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check presence and both bounds."""
        value = typed(body, self.name, str, found) or ""
        if not value and self.missing:
            raise Refused(self.missing)
        length = sum(1.0 if ord(character) > 127 else 0.5 for character in value)
        if value and length < self.least:
            raise Refused(40058, f"{path}.{self.name} exceed min chinese words {self.least}")
        if length > self.most:
            raise Refused(self.over, too_long(self.over, f"{path}.{self.name}", self.most))


@dataclass(frozen=True, slots=True)
class Media:
    """A media_id of one kind of upload."""

    name: str
    kind: str
    missing: int | None = 41006

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Note the id; whether it exists is for the media store to say."""
        value = typed(body, self.name, str, found)
        if value:
            found.media.append((value, self.kind))
        elif self.missing:
            raise Refused(self.missing)


@dataclass(frozen=True, slots=True)
class Group:
    """An object with rules of its own; absent or empty is fine unless `missing` says a code."""

    name: str
    rules: tuple[Rule, ...]
    missing: int | None = None

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check the object."""
        value = typed(body, self.name, dict, found)
        if value:
            check_all(self.rules, value, f"{path}.{self.name}", found)
        elif self.missing:
            raise Refused(self.missing)


@dataclass(frozen=True, slots=True)
class Items:
    """A list of objects: at most `most` (code `length`), each complete, `unique` by one field."""

    name: str
    most: int
    length: int
    rules: tuple[Rule, ...]
    missing: int | None = None
    unique: tuple[str, int] | None = None

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check length, entries and uniqueness."""
        entries = typed(body, self.name, list, found) or []
        if not entries and self.missing:
            raise Refused(self.missing)
        if len(entries) > self.most:
            raise Refused(self.length)
        for entry in entries:
            self._check_entry(entry, f"{path}.{self.name}", found)
        self._check_unique(entries)

    def _check_entry(self, entry: Any, path: str, found: Findings) -> None:
        if not isinstance(entry, dict):
            raise Refused(40058, f"invalid param '{path}'")
        check_all(self.rules, entry, path, found)

    def _check_unique(self, entries: list[Json]) -> None:
        if self.unique is None:
            return
        name, code = self.unique
        values = [entry[name] for entry in entries if entry.get(name)]
        if len(set(values)) < len(values):
            raise Refused(code)


@dataclass(frozen=True, slots=True)
class ByType:
    """What an object needs beyond, by its `type` (absent is 0); `allowed` types else `bad`."""

    needs: dict[int, tuple[str, int]]
    allowed: tuple[int, ...] = ()
    bad: int | None = None

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check the type and the field it needs."""
        kind = typed(body, "type", int, found) or 0
        if self.bad and kind not in self.allowed:
            raise Refused(self.bad)
        name, code = self.needs.get(kind, ("", 0))
        if name and not typed(body, name, str, found):
            raise Refused(code)


@dataclass(frozen=True, slots=True)
class EitherOf:
    """At least one of these paths must be there."""

    paths: tuple[str, ...]
    missing: int

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check that one is there and not empty."""
        if not any(_reach(body, wanted) for wanted in self.paths):
            raise Refused(self.missing)


def _reach(body: Any, path: str) -> Any:
    for name in path.split("."):
        body = body.get(name) if isinstance(body, dict) else None
    return body
