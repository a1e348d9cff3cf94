"""What dashboards and rules ask of Prometheus: every expression, and the metrics and labels that it names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import promql_parser as promql

from tests.support.alerts import rules
from tools.dashboards import dashboards

GIVEN = "$__rate_interval", "5m"
"""A variable of Grafana's, and what stands for it."""


def expressions() -> list[tuple[str, str]]:
    """Each expression with the panel or alert that has it."""
    of_panels = [
        (f"{name}: {panel['title']}", target["expr"].replace(*GIVEN))
        for name, dashboard in dashboards()
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]
    return [*of_panels, *((alert, rule["expr"]) for alert, rule in rules().items())]


def names_in(expression: str) -> dict[str, set[str]]:
    """The metrics of an expression, each with the labels it is selected or grouped by; ValueError for a wrong one.

    A label that several metrics are grouped by belongs to each of those below it.
    """
    found: defaultdict[str, set[str]] = defaultdict(set)
    _collect(promql.parse(expression), frozenset(), found)
    return dict(found)


def _collect(node: Any, grouped: frozenset[str], found: defaultdict[str, set[str]]) -> None:
    match node:
        case promql.VectorSelector():
            labels = {matcher.name for matcher in node.matchers.matchers}
            found[str(node.name)] |= labels | grouped
        case promql.MatrixSelector():
            _collect(node.vector_selector, grouped, found)
        case promql.AggregateExpr():
            by = frozenset(node.modifier.labels) if node.modifier is not None else frozenset[str]()
            _collect(node.expr, grouped | by, found)
        case promql.BinaryExpr():
            _collect(node.lhs, grouped, found)
            _collect(node.rhs, grouped, found)
        case promql.Call():
            for argument in node.args:
                _collect(argument, grouped, found)
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr():
            _collect(node.expr, grouped, found)
        case promql.NumberLiteral() | promql.StringLiteral():
            return
        case _:
            raise AssertionError(f"not understood: {node}")


def legends() -> Iterator[tuple[str, Mapping[str, set[str]], set[str]]]:
    """Each panel's question: where it is, what it names, and the labels of its legend."""
    for name, dashboard in dashboards():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                words = {part.partition("}}")[0] for part in target["legendFormat"].split("{{")[1:]}
                yield f"{name}: {panel['title']}", names_in(target["expr"].replace(*GIVEN)), words
