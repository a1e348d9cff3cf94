"""SECURITY.md, docs/personal-data.md and docs/support.md: what they say of tests, tables and versions is so."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.docs.page import ROOT, Page
from worker.outbox.tables import metadata

PERSONAL = Page("docs/personal-data.md")
COLUMNS = {
    table: frozenset(re.findall(r"`(\w+)`", columns))
    for table, columns in re.findall(r"^\| `(worker_\w+)` \| ([^|]+) \|", PERSONAL.text, re.MULTILINE)
}
"""The columns that hold personal data, by table, as the page has them."""


def rows(page: Page, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", page.text, re.MULTILINE | re.DOTALL)
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


@pytest.mark.parametrize("threat", rows(Page("SECURITY.md"), "Threats"), ids=lambda threat: threat[1][:40])
def test_every_threat_names_tests_that_there_are(threat: list[str]) -> None:
    """Of the suite: each file has a test."""
    asset, attacker, defence, tested = threat
    files = re.findall(r"`(tests/[\w/]+\.py)`", tested)

    assert asset
    assert attacker
    assert defence
    assert files
    for name in files:
        assert re.search(r"^ *(async )?def test_", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE), name


def test_every_table_is_judged() -> None:
    """A new one fails here until the page says which of its columns hold personal data, or that none does."""
    (none,) = re.findall(r"^No personal data is in (.*?): ", PERSONAL.text, re.MULTILINE | re.DOTALL)
    (hashes,) = re.findall(r"^Keyed hashes of persons.*?\n\n", PERSONAL.text, re.MULTILINE | re.DOTALL)
    named = [*COLUMNS, *re.findall(r"`(worker_\w+)`", none)]

    assert len(named) == len({*named})
    assert {table.name for table in metadata.sorted_tables} == {*named, *re.findall(r"`(worker_\w+)`", hashes)}


def test_every_personal_column_is_there() -> None:
    """Under the name that the page has."""
    for table, columns in COLUMNS.items():
        assert columns <= {*metadata.tables[table].columns.keys()}, table


def test_the_versions_are_those_of_the_suite() -> None:
    """Servers as docs/stacks.md tells them, Python as the package demands it."""
    (told,) = re.findall(r"The tests have run on ([^\n]*(?:\n[^\n]+)*?)\.\n", Page("docs/stacks.md").text)
    told = {
        name: re.findall(r"\d+(?:\.\d+)?", versions) for name, versions in re.findall(r"([A-Z]\w+) ([\d., and]+)", told)
    }
    page = {
        cells[0].split(",")[0]: re.findall(r"\d+(?:\.\d+)?", cells[2])
        for cells in rows(Page("docs/support.md"), "What it runs on")
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert told["PostgreSQL"] == page["PostgreSQL"]
    assert told["MariaDB"] == page["MariaDB"]
    assert told["MySQL"] == page["MySQL"]
    assert [*told["Redis"], *told["Valkey"]] == page["Redis"]
    assert told["RabbitMQ"] == page["RabbitMQ"]
    assert f">={page['Python'][0]}" == project["requires-python"]
