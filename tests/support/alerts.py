"""Judges the expressions of deploy/prometheus/rules.yaml on two readings of the metrics, without Prometheus.

Only what these expressions use: selectors, `sum by`, `increase` and `rate` (the difference of the two
readings), `time`, comparisons, `or`, `and`, `unless on`, `*`, `-`. How long something lasts (`for`) is what
`promtool test rules` judges.
"""

from __future__ import annotations

import operator
import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from tests.docs.page import ROOT
from tests.support.deployment import documents

Labels = tuple[tuple[str, str], ...]
Reading = Mapping[tuple[str, Labels], float]
Vector = dict[Labels, float]

_TOKEN = re.compile(
    r"\s*(?:(?P<by>sum by \((?P<label>account|channel)\))|(?P<call>increase|rate|abs|timestamp|absent)\("
    r"|(?P<time>time\(\))|(?P<unless>unless on \((?P<on>\w*)\))"
    r"|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<name>worker_\w+)(?:\{(?P<labels>[^}]*)\})?(?:\[\w+\])?(?: offset \w+)?|(?P<sign>[()*<>]|==|!=|and|or|-))"
)
_COMPARE = {">": operator.gt, "<": operator.lt, "==": operator.eq}
_LABEL = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


def rules() -> dict[str, Any]:
    """The alerts by their names."""
    text = (ROOT / "deploy/prometheus/rules.yaml").read_text(encoding="utf-8")
    return {rule["alert"]: rule for group in documents(text)[0]["groups"] for rule in group["rules"]}


def raised(before: Reading, after: Reading, *, scraped_at: float) -> dict[str, set[str]]:
    """The alerts that are raised between two readings, each with the accounts that it names (empty: none)."""
    found = {}
    for name, rule in rules().items():
        vector = _Expression(rule["expr"], before, after, scraped_at).value()
        if vector:
            found[name] = {dict(labels).get("account", "") for labels in vector}
    return found


class _Expression:
    """A recursive descent over one expression."""

    def __init__(self, text: str, before: Reading, after: Reading, scraped_at: float):
        self._before, self._after, self._scraped_at = before, after, scraped_at
        self._tokens: list[re.Match[str]] = []
        at = 0
        while text[at:].strip():
            match = _TOKEN.match(text, at)
            assert match, f"not understood: {text[at:]}"
            self._tokens.append(match)
            at = match.end()

    def value(self) -> Vector:
        """What it selects."""
        found = self._either()
        assert not self._tokens, self._tokens
        return found

    def _takes(self, *signs: str) -> str | None:
        if self._tokens and self._tokens[0]["sign"] in signs:
            return self._tokens.pop(0)["sign"]
        return None

    def _either(self) -> Vector:
        found = self._both()
        while self._takes("or"):
            found = {**self._both(), **found}
        return found

    def _both(self) -> Vector:
        found = self._compared()
        while self._tokens:
            if self._takes("and"):
                other = self._compared()
                found = {labels: value for labels, value in found.items() if labels in other}
            elif self._tokens[0]["unless"]:
                label = self._tokens.pop(0)["on"]
                other = {_only(labels, label): value for labels, value in self._compared().items()}
                found = {labels: value for labels, value in found.items() if _only(labels, label) not in other}
            else:
                break
        return found

    def _compared(self) -> Vector:
        found = self._product()
        while sign := self._takes(">", "<", "=="):
            other = self._product()
            for labels in list(found):
                bound = other.get(labels, other.get(()))
                if bound is None or not _COMPARE[sign](found[labels], bound):
                    del found[labels]
        return found

    def _product(self) -> Vector:
        found = self._one()
        while sign := self._takes("*", "-"):
            other = self._one()
            if sign == "-":
                found = {labels: found.get(labels, found.get((), 0)) - value for labels, value in other.items()}
            else:
                found = {labels: value * found[()] for labels, value in other.items()}
        return found

    def _one(self) -> Vector:
        token = self._tokens.pop(0)
        if token["by"]:
            sums: defaultdict[Labels, float] = defaultdict(float)
            assert self._takes("(")
            for labels, value in self._either().items():
                sums[_only(labels, token["label"])] += value
            assert self._takes(")")
            return dict(sums)
        if token["number"]:
            return {(): float(token["number"])}
        if token["time"]:
            return {(): self._scraped_at}
        if token["name"]:
            return self._selected(token, self._after)
        return self._called(token["call"])

    def _called(self, name: str) -> Vector:
        token = self._tokens[0]
        found = self._either()
        assert self._takes(")")
        match name:
            case "increase" | "rate":
                before = self._selected(token, self._before)
                # As Prometheus has it: a series that begins has not increased.
                return {labels: value - before[labels] for labels, value in found.items() if labels in before}
            case "abs":
                return {labels: abs(value) for labels, value in found.items()}
            case "timestamp":
                return dict.fromkeys(found, self._scraped_at)
        return {} if found else {(): 1}

    def _selected(self, token: re.Match[str], reading: Reading) -> Vector:
        wanted = _LABEL.findall(token["labels"] or "")

        def is_wanted(labels: Mapping[str, str]) -> bool:
            return all(_fits(labels.get(label, ""), sign, text) for label, sign, text in wanted)

        name = token["name"]
        return {
            labels: value for (found, labels), value in reading.items() if found == name and is_wanted(dict(labels))
        }


def _only(labels: Labels, label: str) -> Labels:
    return tuple(pair for pair in labels if pair[0] == label)


def _fits(value: str, sign: str, text: str) -> bool:
    if sign.endswith("~"):
        return (re.fullmatch(text, value) is not None) == (sign == "=~")
    return (value == text) == (sign == "=")
