"""Rules for texts: required, length, scheme, translation of ids."""

from dataclasses import dataclass

from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.findings import Code, Findings, too_long, typed
from worker_simulator.wecom_app.rules.nested import SingleFieldRule

CUT = "cut"
"""Used in place of an errcode: a text that is too long is cut without an error."""


@dataclass(frozen=True, slots=True)
class TextRule(SingleFieldRule):
    """A string with its length and its errcodes.

    `missing` is the errcode if it is absent or empty, `over` the errcode (or CUT) if it is longer than `limit`.
    `suggested` is a length in characters that is only advice. With `scheme` it must begin with http:// or https://.
    With `translated`, ids in it are replaced by names.
    """

    missing: Code = 0
    limit: int = 0
    over: Code = "field_too_long"
    unit: str = "bytes"
    suggested: int = 0
    scheme: bool = False
    translated: bool = False

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Checks presence, scheme and length. Cuts and translates the text in the body."""
        place = f"{path}.{self.name}"
        value = typed(body, self.name, str, findings, path) or ""
        if not value:
            findings.refuse(self.missing, f"invalid param '{place}'")
            return
        if self.scheme and not value.startswith(("http://", "https://")):
            findings.refuse("url_without_scheme")
        if findings.codes.suggested_length and 0 < self.suggested < len(value):
            findings.refuse("suggested_length", too_long(place, self.suggested))
        body[self.name] = self._translated(self._limited(value, place, findings), place, findings)

    def _limited(self, value: str, place: str, findings: Findings) -> str:
        unit = findings.codes.textcard_unit if self.unit == "textcard" else self.unit
        size = measure(value, unit)
        if not self.limit or size <= self.limit:
            return value
        if self.over != CUT:
            findings.refuse(self.over, too_long(place, self.limit))
            return value
        findings.alter(place, CUT, limit=self.limit, unit=unit, size=size)
        return cut(value, self.limit, unit, findings.codes.cut_character)

    def _translated(self, value: str, place: str, findings: Findings) -> str:
        if not self.translated or findings.translate is None:
            return value
        result = findings.translate(value)
        if result != value:
            findings.alter(place, "ids translated")
        return result


@dataclass(frozen=True, slots=True)
class Chinese(SingleFieldRule):
    """A text measured in Chinese characters. A setting says how much an ASCII character counts."""

    limit: int
    over: Code
    minimum: int = 0
    missing: Code = 0
    translated: bool = False

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Checks presence and length."""
        place = f"{path}.{self.name}"
        value = typed(body, self.name, str, findings, path) or ""
        if not value:
            findings.refuse(self.missing, f"invalid param '{place}'")
        length = sum(1.0 if ord(character) > 127 else findings.codes.ascii_width for character in value)
        if value and length < self.minimum:
            findings.refuse(40058, f"{place} exceed min chinese words {self.minimum}")
        if length > self.limit:
            findings.refuse(self.over, too_long(place, self.limit))
        TextRule(self.name, translated=self.translated).check(body, path, findings)


def measure(text: str, unit: str) -> int:
    """Returns the length in bytes of UTF-8, or in characters."""
    return len(text.encode()) if unit == "bytes" else len(text)


def cut(text: str, limit: int, unit: str, broken: str) -> str:
    """Returns the text that the vendor keeps. A character that is cut in half is dropped or replaced."""
    if unit != "bytes":
        return text[:limit]
    return text.encode()[:limit].decode("utf-8", "ignore" if broken == "dropped" else "replace")
