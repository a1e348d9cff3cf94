"""Rules of texts: presence, length, scheme, ids to be translated.

Does not know which texts there are.
"""

from dataclasses import dataclass

from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.findings import Code, Findings, above, typed
from worker_simulator.wecom_app.rules.nested import OfField

CUT = "cut"
"""Stands in place of a code: a text that is too long is cut in silence."""


@dataclass(frozen=True, slots=True)
class TextRule(OfField):
    """A string: `missing` is the code when absent or empty, `over` the code (or CUT) beyond `limit`.

    `suggested` is a length in characters that is only advice. `scheme`: must start with http:// or https://.
    `translated`: ids in it become names.
    """

    missing: Code = 0
    limit: int = 0
    over: Code = "field_too_long"
    unit: str = "bytes"
    suggested: int = 0
    scheme: bool = False
    translated: bool = False

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check presence, scheme and length; cut and translate in place."""
        place = f"{path}.{self.name}"
        value = typed(body, self.name, str, found, path) or ""
        if not value:
            found.refuse(self.missing, f"invalid param '{place}'")
            return
        if self.scheme and not value.startswith(("http://", "https://")):
            found.refuse("url_without_scheme")
        if found.codes.suggested_length and 0 < self.suggested < len(value):
            found.refuse("suggested_length", above(place, self.suggested))
        body[self.name] = self._translated(self._within(value, place, found), place, found)

    def _within(self, value: str, place: str, found: Findings) -> str:
        unit = found.codes.textcard_unit if self.unit == "textcard" else self.unit
        size = measure(value, unit)
        if not self.limit or size <= self.limit:
            return value
        if self.over != CUT:
            found.refuse(self.over, above(place, self.limit))
            return value
        found.alter(place, CUT, limit=self.limit, unit=unit, size=size)
        return cut(value, self.limit, unit, found.codes.cut_character)

    def _translated(self, value: str, place: str, found: Findings) -> str:
        if not self.translated or found.translate is None:
            return value
        shown = found.translate(value)
        if shown != value:
            found.alter(place, "ids translated")
        return shown


@dataclass(frozen=True, slots=True)
class Chinese(OfField):
    """A text measured in Chinese characters; how many of them an ASCII one counts for is a setting."""

    most: int
    over: Code
    least: int = 0
    missing: Code = 0
    translated: bool = False

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check presence and both bounds."""
        place = f"{path}.{self.name}"
        value = typed(body, self.name, str, found, path) or ""
        if not value:
            found.refuse(self.missing, f"invalid param '{place}'")
        length = sum(1.0 if ord(character) > 127 else found.codes.ascii_width for character in value)
        if value and length < self.least:
            found.refuse(40058, f"{place} exceed min chinese words {self.least}")
        if length > self.most:
            found.refuse(self.over, above(place, self.most))
        TextRule(self.name, translated=self.translated).check(body, path, found)


def measure(text: str, unit: str) -> int:
    """The length in bytes of UTF-8, or in characters."""
    return len(text.encode()) if unit == "bytes" else len(text)


def cut(text: str, limit: int, unit: str, broken: str) -> str:
    """What is left of a text the vendor cuts; a byte cut may fall inside a character, which is dropped or replaced."""
    if unit != "bytes":
        return text[:limit]
    return text.encode()[:limit].decode("utf-8", "ignore" if broken == "dropped" else "replace")
