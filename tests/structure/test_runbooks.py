"""Alerts, their tests and their runbooks belong together; and what a runbook tells a person to type is there."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.docs.page import ROOT, Page
from tests.support.deployment import documents
from tests.support.english_left import english_left
from worker.cli.commands import every_command
from worker.console.pages.runbooks import runbook_page
from worker.language import Lang
from worker.outbox.engine.clock import micros_of
from worker.outbox.upkeep.alerts import BUSY_HOUR, AlertRow
from worker.reporting.problem_kinds import KINDS
from worker.reporting.problems import MAX_CLOCK_DIFFERENCE_S, MAX_OPEN_S, MAX_UNKNOWN_PARTS
from worker.service.notify.notices import AlertNotice
from worker.service.notify.text import text_of

FOLDER = ROOT / "deploy/prometheus"
BOOKS = ("docs/runbooks.md", "docs/zh/runbooks.md")
SECTIONS = ("**Seen as**", "**Do**")
WITHOUT_END = {"it-was-sent-twice", "restored-from-a-backup", "the-vendor-refuses-the-ip"}


def _sections(book: str) -> dict[str, str]:
    """The text of each runbook by its anchor."""
    page = Page(book)
    return dict(zip(page.anchors[1:], page.text.split("\n## ")[1:], strict=True))


def _section(place: str) -> str:
    """The runbook that an alert names as `docs/runbooks.md#NAME`."""
    book, _, anchor = place.partition("#")
    return _sections(book)[anchor]


def _read(name: str) -> Any:
    [found] = documents((FOLDER / name).read_text(encoding="utf-8"))
    return found


ALERTS: dict[str, Any] = {rule["alert"]: rule for group in _read("rules.yaml")["groups"] for rule in group["rules"]}


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_how_urgent_it_is_and_what_to_do(name: str) -> None:
    """Its runbook exists, and names it."""
    rule = ALERTS[name]

    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["annotations"]["summary"]
    assert f"`{name}`" in _section(rule["annotations"]["runbook"])


def test_each_alert_is_raised_and_ended_in_a_test() -> None:
    """What `promtool test rules` runs."""
    text = (FOLDER / "rules_test.yaml").read_text(encoding="utf-8")

    counted = {name: text.count(f'alertname="{name}"') for name in ALERTS}

    assert {name: times for name, times in counted.items() if times < 2} == {}
    assert _read("rules_test.yaml")["rule_files"] == ["rules.yaml"]


@pytest.mark.parametrize(("name", "text"), _sections(BOOKS[0]).items(), ids=lambda value: value[:20])
def test_a_runbook_tells_how_it_is_seen_and_what_to_do(name: str, text: str) -> None:
    """And every command in it is one that there is; every alert, too."""
    assert [words for words in SECTIONS if words not in text] == []
    if name not in WITHOUT_END:
        assert "**Ends**" in text
    assert [words for words in re.findall(r"`worker ([a-z-]+(?: [a-z]+)?)[^`]*`", text) if not _is_command(words)] == []
    named = re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", text)
    assert [name for name in named if name not in (*ALERTS, *KINDS)] == []


@pytest.mark.parametrize("name", KINDS)
def test_what_people_are_told_has_a_page(name: str) -> None:
    """The text ends with it, and the page names the alert; so does the list of all."""
    kind = KINDS[name]
    row = AlertRow("0" * 32, name, "hr", seen_at=0)

    assert (
        f"Runbook: docs/runbooks.md#{kind.page}"
        == text_of(AlertNotice(kind, [row], is_end=False, at=0)).splitlines()[-1]
    )
    assert f"`{name}`" in _section(kind.runbook)
    assert f"`{name}`" in (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_console_has_the_runbooks(lang: Lang) -> None:
    """Each problem's link finds its place, tables and commands are drawn, and no link leads out of the page."""
    page = runbook_page(lang)

    places = set(re.findall(r'<h2 id="([^"]+)">', page))
    assert {kind.page for kind in KINDS.values()} - places == set()
    assert set(re.findall(r'href="#?([^"]+)"', page)) - places == set()
    assert ("<table>" in page, "<code>worker doctor</code>" in page, "{ #" in page) == (True, True, False)


@pytest.mark.parametrize("name", KINDS)
def test_what_people_are_told_is_there_in_chinese(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin and end, of one and of many, with the page in that language, where `WORKER_LANG` says so."""
    monkeypatch.setenv("WORKER_LANG", "zh")
    kind = KINDS[name]
    rows = [AlertRow("0" * 32, name, f"hr{n}", seen_at=0) for n in range(12)]

    texts = [
        text_of(AlertNotice(kind, some, is_end, 0, last_number=30))
        for some in (rows[:1], rows)
        for is_end in (False, True)
    ]

    assert f"{name} 已恢复: hr0" in texts[1]
    for text in texts:
        [place] = re.findall(r"处理手册：(\S+)", text)
        assert f"`{name}`" in _section(place)
        assert english_left(text) == []


@pytest.mark.parametrize("name", sorted(ALERTS.keys() & KINDS))
def test_people_are_told_what_prometheus_tells(name: str) -> None:
    """By the same name the same thing: as urgent, after the same time, with the same page."""
    prometheus, kind = ALERTS[name], KINDS[name]
    number, unit = re.fullmatch(r"(\d+)([ms])", prometheus.get("for", "0s")).groups()  # type: ignore[union-attr]

    assert prometheus["labels"]["severity"] == kind.severity
    assert prometheus["annotations"]["runbook"] == kind.runbook
    assert int(number) * {"m": 60, "s": 1}[unit] == kind.delay


def test_the_thresholds_are_those_of_prometheus() -> None:
    """Where an expression compares with a figure."""
    figures = {
        name: ALERTS[name]["expr"].rpartition(" ")[2] for name in ("ClocksApart", "JobsStayOpen", "PartsUnknown")
    }

    assert {
        "ClocksApart": f"{MAX_CLOCK_DIFFERENCE_S}",
        "JobsStayOpen": f"{MAX_OPEN_S}",
        "PartsUnknown": f"{MAX_UNKNOWN_PARTS}",
    } == figures
    assert ALERTS["CallbacksStopped"]["expr"].strip().endswith(f"> {BUSY_HOUR}")


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_shows_texts_as_they_are_made(lang: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The begin of an alert and its end."""
    monkeypatch.setenv("WORKER_LANG", lang)
    page = (ROOT / "docs/monitoring.md").read_text(encoding="utf-8")
    began_at, over_at = (micros_of(datetime(2026, 11, 24, *at, tzinfo=UTC)) for at in ((9, 12, 3), (9, 40, 27)))
    row = AlertRow("0" * 32, "AccountParked", "hr", began_at, over_at)

    for is_end in (False, True):
        text = text_of(AlertNotice(KINDS["AccountParked"], [row], is_end, over_at))
        assert f"```text\n{text}\n```" in page


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("about", ["account", "process"])
def test_the_longest_text_fits_every_channel(about: str, lang: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An application's text has 2,048 bytes, which is the least."""
    monkeypatch.setenv("WORKER_LANG", lang)
    longest = {"account": 60, "process": 120}[about]
    texts = [
        text_of(
            AlertNotice(
                kind, [AlertRow("", name, f"{n:02}".ljust(longest, "x"), 0) for n in range(99)], False, 0, -1, True
            )
        )
        for name, kind in KINDS.items()
        if kind.about == about
    ]

    assert max(len(text.encode()) for text in texts) <= 2_048


COMMANDS: Any = every_command()


def _is_command(words: str) -> bool:
    first, _, second = words.partition(" ")
    found = COMMANDS.commands.get(first)
    return found is not None and (not second or second in getattr(found, "commands", {second: None}))
