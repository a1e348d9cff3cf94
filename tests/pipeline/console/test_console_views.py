"""A text leaves the database only for those who may read it, and never unnoticed."""

from __future__ import annotations

import pytest

from tests.pipeline.console.console_site import FixedDoor, site_of
from tests.support.browser import Browser
from worker.console.app import guarded
from worker.console.page import ConsoleRequest, PageRoute, Redirect, View
from worker.console.viewer import Role, Viewer
from worker.control.audit import audited, list_audit
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


@pytest.mark.parametrize(
    ("role", "account", "may"),
    [
        ("reader", "hr", False),
        ("observer", "hr", False),
        ("support", "hr", True),
        ("support", "shop", False),
        ("operator", "hr", True),
        ("admin", "shop", True),
    ],
)
def test_a_text_is_read_only_for_who_may(database: Database, role: Role, account: str, may: bool) -> None:
    """For others it is not even asked for; for them the audit says who viewed what."""
    read: list[str] = []

    def page(request: ConsoleRequest) -> View:
        text = request.text(account, "job1", lambda: read.append("once") or "the text")
        return View("error.html", "title", {"text": text or "withheld"})

    door = FixedDoor(Viewer("ada", role, frozenset({"hr"})))
    shown = Browser(guarded(site_of(database), door, [PageRoute("/job", page)])).get("/job")

    with database.reading() as connection:
        views = [(one.action, one.person, dict(one.arguments)) for one in list_audit(connection)]
    assert may == ("the text" in shown.text)
    assert may == ("withheld" not in shown.text)
    assert (["once"] if may else []) == read
    assert ([("console.view", "ada", {"account": account, "of": "job1"})] if may else []) == views


def test_what_a_page_does_is_told_from_what_a_command_does(database: Database) -> None:
    """The same function of the control room; the audit's action says that it came through the console."""

    def act(request: ConsoleRequest) -> Redirect:
        request.require_act("hr")
        with audited("replay", person=request.viewer.name, why="", arguments={}, database=request.site.database):
            return Redirect("/")

    door = FixedDoor(Viewer("otto", "operator", frozenset({"hr"})))
    browser = Browser(guarded(site_of(database), door, [PageRoute("/act", act, "POST", right="act")]))
    done = browser.post("/act", {"csrf": "token"})
    with audited("replay", person="otto", why="", arguments={}, database=database):
        pass

    with database.reading() as connection:
        actions = {one.action for one in list_audit(connection)}
    assert done.status == 303
    assert actions == {"console.replay", "replay"}
