"""The snippets of docs/enqueue.md and docs/settings.md run as they are written; those of other pages fit the release.

Those of the README are typed in tests/process/test_readme.py.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, String, event
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import worker
from tests.docs.page import ROOT, Page
from tests.support.browser import Browser
from tests.support.runtime import RECALL, UPDATE, planted
from worker.accounts.current import current_accounts
from worker.accounts.sources import accounts_of
from worker.config.settings import load_settings
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database


class Base(DeclarativeBase):
    """An application's own tables."""


class Order(Base):
    """An application's own row."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(40))


def blocks(page: str, language: str) -> list[str]:
    """A page's blocks of a language."""
    return [block.text for block in Page(page).blocks_in(language)]


FOLDERS = (ROOT / "docs", ROOT / "docs" / "migrate")
PAGES = sorted(str(path.relative_to(ROOT)) for folder in FOLDERS for path in folder.glob("*.md"))


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The worker.toml of docs/settings.md, in an empty folder."""
    path = tmp_path / "worker.toml"
    (text,) = blocks("docs/settings.md", "toml")
    path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HR_SECRET", "not-so-secret")
    return path


def test_the_settings_load(sample: Path) -> None:
    """Every key of the example is known, and the account is usable."""
    settings = load_settings(sample)

    account = accounts_of(settings).get("hr")

    assert tomllib.loads(sample.read_text())["accounts"]["hr"]["corpid"] == account.settings["corpid"]
    assert account.secret is not None
    assert account.secret.read() == "not-so-secret"


def test_the_enqueue_example_runs(
    sample: Path, database: Database, driven_clock: DrivenClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """Pasted in two, with a worker at work between: all three are sent, one is recalled and one updated, as it says."""
    Base.metadata.create_all(database.engine)
    worker.configure(sample)
    names = {"engine": database.engine, "Order": Order}
    enqueues, follows_up = (compile(one, "enqueue.md", "exec") for one in blocks("docs/enqueue.md", "python"))

    try:
        with planted(database, driven_clock, accounts=[current_accounts().get("hr")]) as site:
            exec(enqueues, names)
            # The example is due by the real clock, its last message in an hour.
            site.clock.micros = max(row.due_at for row in site.rows("select due_at from worker_jobs"))
            site.run()
            exec(follows_up, names)
            site.run()
            recalls, updates = site.bodies(RECALL), site.bodies(UPDATE)
    finally:
        worker.configure(None)
        Base.metadata.drop_all(database.engine)

    (said,) = re.findall(r"# (accepted .*)", Page("docs/enqueue.md").text)
    assert f"{said}\n" == capsys.readouterr().out
    assert len(recalls) == 1
    assert len(updates) == 1


@pytest.fixture
def engines_end() -> Iterator[None]:
    """Closes the engines that the page's application keeps for as long as its process runs."""
    used: set[Engine] = set()

    def note(connection: Connection) -> None:
        used.add(connection.engine)

    event.listen(Engine, "engine_connect", note)
    yield
    event.remove(Engine, "engine_connect", note)
    for engine in used:
        engine.dispose()


@pytest.mark.usefixtures("engines_end")
@pytest.mark.fewer_databases("the page's application asks for no row")
def test_the_console_is_mounted_as_the_page_says(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below a path of the application: a visitor is asked to sign in there, and the page's files come from there."""
    (tmp_path / "worker.toml").write_text(f'database = "{sqlite_url}"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(blocks("docs/console.md", "python")[0], names)
    browser = Browser(names["app"])

    sent_on = browser.get("/ops/")
    page = browser.get(sent_on.location)

    assert sent_on.location == "/ops/sign-in?next=%2F"
    assert page.status == 200
    assert 'href="/ops/static/design.css?' in page.text
    assert browser.get("/ops/static/console.js").status == 200


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "toml")])
def test_the_settings_of_every_page_load(page: str, tmp_path: Path) -> None:
    """No key of a page is unknown, and no value of a kind that the release does not take."""
    for number, text in enumerate(blocks(page, "toml")):
        path = tmp_path / f"{number}.toml"
        path.write_text(text)

        settings = load_settings(path)

        assert tomllib.loads(text).keys() <= type(settings).model_fields.keys()


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_of_every_page_names_what_there_is(page: str) -> None:
    """Each block compiles, and what it takes from the package is exported."""
    trees = [ast.parse(text, page) for text in blocks(page, "python")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "worker"]
    taken = {name.name for node in imports for name in node.names}
    taken |= {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "worker"
    }

    assert taken <= set(worker.__all__)
