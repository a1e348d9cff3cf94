"""SECURITY.md, docs/personal-data.md and docs/stacks.md: what they say of tests, tables and versions is so."""

from __future__ import annotations

import re
import tomllib

import pytest

from tests.docs.page import ROOT, Page
from worker.channels.wecom.callback import ENVELOPE_BYTES
from worker.config.settings import DeliverySettings
from worker.outbox.tables import metadata
from worker.service.web.receiver import READ_S
from worker.transport.framing import MAX_ANSWER, MAX_LINES

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


@pytest.mark.parametrize(("page", "heading"), [("SECURITY.md", "Threats"), ("SECURITY.zh-CN.md", "威胁 { #threats }")])
def test_the_figures_of_the_threats_are_those_of_the_program(page: str, heading: str) -> None:
    """Sizes and times, in the order of the table."""
    ages = DeliverySettings().callback_max_age_s
    sizes = [
        f"{ENVELOPE_BYTES // 1024} KiB",
        f"{READ_S:g} s",
        f"{MAX_ANSWER // 1024**2} MiB",
        f"{MAX_LINES // 1024} KiB",
    ]

    defences = " ".join(defence for _, _, defence, _ in rows(Page(page), heading))

    assert [f"{ages:g} s", *sizes] == re.findall(r"\d+ (?:[KM]iB|s)\b", defences)


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


def test_the_python_is_the_one_that_the_package_demands() -> None:
    """Its lowest version, as docs/stacks.md says it."""
    (python,) = [cells for cells in rows(Page("docs/stacks.md"), "What it runs on") if cells[0] == "Python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert f">={python[1]}" == project["requires-python"]
