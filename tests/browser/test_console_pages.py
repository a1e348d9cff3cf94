"""The console in a real browser: each of its pages, in both languages, both themes, wide and narrow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.console_stand import ConsoleStand, console_stand, sign_in
from tests.browser.watched_page import LOOKS, Look, watched
from worker.console.pages import PAGES
from worker.drawing import Lang

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleStand]:
    """One console for all of them."""
    folder: Path = tmp_path_factory.mktemp("console")
    with console_stand(folder) as served:
        yield served


FILES = {"/jobs/{job}/files/{n}/{name}", "/export/{form}"}
"""Answer the bytes of a file, which are no page of ours; tests/pipeline/console asks for them."""


def test_every_page_is_looked_at(stand: ConsoleStand) -> None:
    """An address is named for each page of the console's table."""
    assert {page.path for page in PAGES if page.method == "GET"} - FILES == stand.pages.keys()


OUT_OF_SIGHT = """() => [...document.querySelectorAll(".scroll, .scroll td, .scroll th")].filter(
  (one) => one.checkVisibility() && one.clientWidth > 1
    && (one.scrollWidth > one.clientWidth + 1 || one.getBoundingClientRect().right > innerWidth)
).map((one) => one.outerHTML.slice(0, 200))"""

UNDER_A_TICK = """() => [...document.querySelectorAll("td:has(> input)")].filter((tick) =>
  [...tick.parentNode.querySelectorAll("td:not(:has(> input)) *")].some(
    (one) => one.checkVisibility() && one.getBoundingClientRect().right > tick.getBoundingClientRect().left)
).map((tick) => tick.parentNode.innerText)"""


@pytest.mark.parametrize(("look", "other"), LOOKS, ids=str)
def test_every_page_of_the_console_is_sound(browser: Browser, stand: ConsoleStand, look: Look, other: Look) -> None:
    """No error, no request elsewhere, no sideways scroll, no serious fault of accessibility, no script of a text; and
    narrow, nothing of a table is out of sight.
    """
    hidden = {}
    with watched(browser, stand.url, look) as page:
        page.open("/sign-in")
        page.look_over(other)
        sign_in(page)
        for path in stand.pages.values():
            page.open(path)
            page.look_over(other)
            with page.narrow():
                hidden[path] = page.page.evaluate(OUT_OF_SIGHT)

        assert page.faults == []
    assert {path: found for path, found in hidden.items() if found} == {}


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_row_is_a_card_in_a_narrow_page(browser: Browser, stand: ConsoleStand, lang: Lang) -> None:
    """Every cell behind its column's name, and to a screen reader still a table."""
    with watched(browser, stand.url, Look(lang, "light", 390)) as page:
        sign_in(page)
        page.open("/jobs")
        brief = page.page.get_by_role("row").nth(1).bounding_box()
        covered = page.page.evaluate(UNDER_A_TICK)
        page.open("/processes")
        row = page.page.get_by_role("row").nth(1)
        label = row.get_by_role("cell").nth(2).evaluate("(one) => getComputedStyle(one, '::before').content")

        assert {"en": '"State"', "zh": '"状态"'}[lang] == label
        assert brief is not None
        assert brief["height"] < 80, "a job of the list is a line or two"
        assert covered == []
        assert page.faults == []


def test_ticked_jobs_are_paused_from_above_the_list(browser: Browser, stand: ConsoleStand) -> None:
    """By keyboard alone: the buttons wait for the first tick, tell how many are ticked, and lead to the preview."""
    with watched(browser, stand.url, Look("en", "light", 1280)) as page:
        sign_in(page)
        page.open("/jobs")
        hold, all = (
            page.page.get_by_role("button", name="Pause jobs"),
            page.page.get_by_label("Select all jobs of this page"),
        )
        expect(hold).to_be_disabled()
        page.tab_to(all)
        page.page.keyboard.press("Space")
        ticked = page.page.locator("input[form=selected]:checked").count()
        expect(page.page.locator("[data-selected]")).to_have_text(str(ticked))
        page.page.keyboard.press("Space")
        expect(hold).to_be_disabled()
        page.tab_to(page.page.locator("input[form=selected]").first)
        page.page.keyboard.press("Space")
        page.look_over(Look("zh", "dark", 390))
        page.tab_to(page.page.locator("input[form=selected]").nth(1))
        page.page.keyboard.press("Space")
        hold.press("Enter")
        page.page.wait_for_url("**/commands/pause_jobs?*")

        expect(page.page.get_by_text("jobs in all: 2")).to_be_visible()
        assert ticked > 2
        assert page.faults == []


def test_fields_of_a_form_are_equally_high(browser: Browser, stand: ConsoleStand) -> None:
    """Whatever kind of field it is."""
    with watched(browser, stand.url, Look("en", "light", 390)) as page:
        sign_in(page)
        page.open("/jobs")
        fields = page.page.locator(".field > :is(input, select)").evaluate_all(
            "(all) => all.map((one) => one.offsetHeight)"
        )

    assert len(set(filter(None, fields))) == 1


def test_language_and_theme_are_chosen_by_button(browser: Browser, stand: ConsoleStand) -> None:
    """They hold for the pages that follow, whatever the browser's own settings are."""
    with watched(browser, stand.url, Look("en", "light", 1280)) as page:
        sign_in(page)

        for name in ("lang", "theme", "theme"):
            page.page.locator(".menu > summary").click()
            page.page.locator(f"button[name={name}]").click()
        page.open("/jobs")

        expect(page.page.locator("html")).to_have_attribute("lang", "zh-CN")
        expect(page.page.locator("html")).to_have_attribute("data-theme", "dark")
        assert page.faults == []


def test_a_job_is_found_and_replayed_by_keyboard_alone(browser: Browser, stand: ConsoleStand) -> None:
    """The slash leads to the search, Enter opens the job, Space presses its replay, which is shown and carried out."""
    with watched(browser, stand.url, Look("en", "light", 1280)) as page:
        sign_in(page)
        page.open("/jobs")

        page.page.keyboard.press("/")
        page.page.keyboard.type(stand.outbox.refused)
        page.page.keyboard.press("Enter")
        page.page.wait_for_url(f"**/jobs/{stand.outbox.refused}")
        page.tab_to(page.page.get_by_role("link", name="Replay"))
        page.page.keyboard.press("Space")
        expect(page.page.get_by_text("jobs in all: 1")).to_be_visible()
        page.tab_to(page.page.get_by_role("button", name="Replay"))
        page.page.keyboard.press("Enter")

        page.page.wait_for_url("**/audit/*")
        assert page.faults == []


def test_a_time_is_picked_from_a_calendar(browser: Browser, stand: ConsoleStand) -> None:
    """It is written into the field as a person would type it, and the search takes it."""
    with watched(browser, stand.url, Look("en", "light", 390)) as page:
        sign_in(page)
        page.open("/jobs")
        page.page.locator("details[data-wide] > summary").click()
        page.page.locator("[data-pick=time-created_from]").click()
        page.page.locator(".calendar").first.evaluate(
            "(one) => { one.value = '2020-11-27T09:30'; one.dispatchEvent(new Event('input')); }"
        )
        page.page.locator("button", has_text="Search").click()
        expect(page.page.locator("#time-created_from")).to_have_value("2020-11-27 09:30")

        assert page.page.locator("tbody tr").count()
        assert page.faults == []


def test_a_curve_says_the_values_at_the_pointer(browser: Browser, stand: ConsoleStand) -> None:
    """And the time of the slot, which is between those of its axis."""
    with watched(browser, stand.url, LOOKS[0][0]) as page:
        page.open("/sign-in")
        sign_in(page)
        page.open("/")
        curve = page.page.locator(".curve").first
        curve.hover(position={"x": 1, "y": 5})

        first = page.page.locator(".plot span").first.inner_text()
        expect(page.page.locator(".plot output").first).to_contain_text(f"{first}")
