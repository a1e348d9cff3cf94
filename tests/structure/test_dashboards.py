"""The Grafana dashboards: files as they were made, no panel over another, runbooks that exist, queries that parse."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.docs.page import Page
from tests.support.each import each
from tests.support.promql import expressions, names_in
from tools.dashboards import FOLDER, content, dashboards

MADE = dict(dashboards())


def test_the_files_are_what_the_program_writes() -> None:
    """`make dashboards` was run after the last change, and no file is left over."""
    found = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}

    assert {name: content(one) for name, one in MADE.items()} == found


def test_each_dashboard_is_found_by_its_own_id() -> None:
    """And by the tag that the others' links use."""
    uids = [one["uid"] for one in MADE.values()]

    assert sorted(set(uids)) == sorted(uids)
    assert {tuple(one["tags"]) for one in MADE.values()} == {("delivery",)}
    assert {tag for one in MADE.values() for link in one["links"] for tag in link["tags"]} == {"delivery"}


@pytest.mark.parametrize("name", MADE)
def test_panels_lie_inside_the_grid_and_not_over_each_other(name: str) -> None:
    """Every cell has one panel at most, and every panel its own number."""
    panels = MADE[name]["panels"]

    cells = [cell for panel in panels for cell in _cells(panel["gridPos"])]

    assert len(set(cells)) == len(cells)
    assert {x for x, _ in cells} <= set(range(24))
    assert sorted({panel["id"] for panel in panels}) == list(range(1, len(panels) + 1))


def _cells(place: dict[str, int]) -> list[tuple[int, int]]:
    columns, lines = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
    return [(x, y) for x in columns for y in lines]


@pytest.mark.parametrize("name", MADE)
def test_a_panel_names_a_datasource_a_unit_and_a_runbook_that_exists(name: str) -> None:
    """Through the variables of its own dashboard."""
    variables = {variable["name"] for variable in MADE[name]["templating"]["list"]}
    for panel in MADE[name]["panels"]:
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert {asked["datasource"]["uid"] for asked in [panel, *panel["targets"]]} == {"${datasource}"}
        for link in panel["links"]:
            section = link["url"].removeprefix("${runbooks}#")
            assert section in Page("docs/runbooks.md").anchors, section
    named = {
        word for word in ("datasource", "runbooks", "account") if f"${word}" in json.dumps(MADE[name]).replace("{", "")
    }
    assert named <= variables


@each(expressions())
def test_every_query_parses(where: str, expression: str) -> None:
    """Of dashboards and rules, as Prometheus's own grammar has it; and it asks for something of ours."""
    names: dict[str, Any] = names_in(expression)

    assert names, where
    assert [name for name in names if not name.startswith("worker_")] == [], where
