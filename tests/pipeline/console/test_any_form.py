"""Whatever a form or an address of the console holds, a page comes back and no failure of ours."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st

from tests.pipeline.console.person import Person
from tests.support.runtime import Site, planted
from worker.console.pages import PAGES
from worker.console.running.preparing import OFFERED, option_names
from worker.domain.job_filter import JobFilter
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("what a form holds is judged before any SQL")

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
COMMANDS = [*OFFERED]
NAMES = st.sampled_from(
    [
        *(*JobFilter.__dataclass_fields__, *(option for name in COMMANDS for option in option_names(name))),
        *(
            "shown",
            "why",
            "ids",
            "back",
            "lane",
            "page",
            "after",
            "before",
            "limit",
            "q",
            "n",
            "since",
            "lang",
            "theme",
        ),
    ]
)
WORDS = (
    st.sampled_from(
        [
            *(
                "hr",
                "no",
                "1h",
                "2026-11-27T09:00:00+08:00",
                "14:00",
                "0001-01-01T00:00",
                "9999-12-31T23:59",
                "9" * 30,
                "-1",
            ),
            *(
                "send",
                "open",
                "urgent",
                "1e400",
                "nan",
                "on",
                "@all",
                "%",
                "'; --",
                "\x00",
                "..",
                "//x",
                "字" * 400,
            ),
            *("0" * 32, "f" * 32 + "-0", "wecom_app", "a,b", "<b>", ""),
        ]
    )
    | TEXTS
)
FORMS = st.dictionaries(NAMES | TEXTS, WORDS, max_size=7)
OF_ADDRESSES = dict.fromkeys(map(ord, "/?#"))
"""What would end a step of a path."""
QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        planted_site.send()
        planted_site.ring(planted_site.card())
        yield planted_site


@QUICK
@given(name=st.sampled_from(COMMANDS), form=FORMS)
@example(name="replay", form={"account": "hr", "rate": "9" * 5_000})
@example(name="recall", form={"account": "hr", "created_before": "0001-01-01T00:00"})
def test_any_form_of_a_command_gets_a_page(site: Site, name: str, form: dict[str, str]) -> None:
    """As a preview, and to be carried out."""
    person = Person(site)

    statuses = {
        person.get(f"/commands/{name}?{urlencode(form)}").status,
        person.post(f"/commands/{name}", **{**form, "csrf": "token"}).status,
    }

    assert all(status < 500 for status in statuses)


@QUICK
@given(path=st.sampled_from([page.path for page in PAGES if page.method == "GET"]), steps=WORDS, query=FORMS)
def test_any_address_gets_a_page(site: Site, path: str, steps: str, query: dict[str, str]) -> None:
    """Ids that are none, filters that are none."""
    for name in ("job", "n", "name", "id"):
        path = path.replace(f"{{{name}}}", steps.translate(OF_ADDRESSES))

    assert 500 > Person(site).get(f"{path}?{urlencode(query)}").status
