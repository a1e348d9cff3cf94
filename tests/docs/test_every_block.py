"""Every fenced block of every page is run by a test, or held against something; the others stand here, with why.

A Chinese page has the blocks of its English one (test_chinese_pages.py), so those of the English pages are judged. The
settings among them are loaded by test_snippets.py, and the Python that no other test runs is run here.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.orm import Session

import worker
from tests.docs.page import ROOT, Page, pages
from tests.support.producing import ACCOUNTS, an_engine, row
from worker.accounts.sources import accounts_of
from worker.config.channels import ChannelEntry
from worker.config.settings import load_settings
from worker.hooks import registry
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings

HERE = "tests/docs/test_every_block.py"
COMMANDS = "tests/docs/test_commands_of_pages.py"
MACHINES = "tests/docs/test_machine_blocks.py"
SERVERS = "tests/docs/test_server_blocks.py"
VENDORS = "tests/docs/test_vendor_pages.py"
WHOLE = {
    "README.md": "tests/process/test_readme.py",
    "docs/quickstart.md": "tests/process/newcomer.py",
    "docs/recipes/*.md": "tests/docs/test_recipes.py",
    "docs/testing.md": "tests/docs/test_testing_page.py",
    "docs/enqueue.md": "tests/docs/test_snippets.py",
    "docs/wecom-app.md": VENDORS,
    "docs/wecom-webhook.md": VENDORS,
    "docs/wecom-external.md": VENDORS,
    "docs/youdu.md": VENDORS,
    "docs/reference/*.md": "tests/docs/test_reference.py",
    "docs/performance.md": "tests/structure/test_capacity_page.py",
    "docs/deployment.md": MACHINES,
}
"""Pages all of whose blocks a test takes, and that test."""
BY_BLOCK = {
    ("CONTRIBUTING.md", "$ make install"): MACHINES,
    ("docs/accounts.md", "# shop/wecom.py"): HERE,
    ("docs/accounts.md", "$ export WORKER_SEAL_KEY"): COMMANDS,
    ("docs/common-changes.md", "REGISTRY = {"): HERE,
    ("docs/callbacks.md", "# shop/hooks.py"): HERE,
    ("docs/channels.md", "# test_acme.py"): "tests/docs/test_recipes.py",
    ("docs/tests-of-the-pipeline.md", "# test_hello.py"): "tests/docs/test_runtime_page.py",
    ("docs/callbacks.md", "@on_message"): HERE,
    ("docs/console.md", "from starlette"): "tests/docs/test_snippets.py",
    ("docs/console.md", "$ worker console"): MACHINES,
    ("docs/database-roles.md", "psql "): SERVERS,
    ("docs/database-roles.md", "create role"): SERVERS,
    ("docs/database-roles.md", "mariadb "): SERVERS,
    ("docs/database-roles.md", "create user"): SERVERS,
    ("docs/databases.md", "engine = worker.sqlite_engine"): HERE,
    ("docs/monitoring.md", "$ worker health"): MACHINES,
    ("docs/monitoring.md", "startupProbe"): "tests/structure/test_hardening.py",
    ("docs/monitoring.md", "livenessProbe"): "tests/structure/test_hardening.py",
    ("docs/limits.md", "# shop/people.py"): HERE,
    ("docs/migrate.md", "from worker import"): HERE,
    ("docs/operations.md", "worker jobs --state"): COMMANDS,
    ("docs/operations.md", "worker jobs --held"): COMMANDS,
    ("docs/operations.md", "$ worker forecast"): "tests/pipeline/test_forecast.py",
    ("docs/operations.md", "account hr: "): "tests/pipeline/test_forecast.py",
    ("docs/operations.md", "job 01a20530"): "tests/docs/test_why_page.py",
    ("docs/operations.md", "worker cancel"): COMMANDS,
    ("docs/operations.md", "worker pause"): COMMANDS,
    ("docs/operations.md", "worker fence"): COMMANDS,
    ("docs/operations.md", "worker replay"): COMMANDS,
    ("docs/operations.md", "$ worker db check"): MACHINES,
    ("docs/operations.md", "cancelled 11997"): MACHINES,
    ("docs/operations.md", "$ worker recall"): COMMANDS,
    ("docs/operations.md", "$ worker jobs --state"): COMMANDS,
    ("docs/states.md", "$ worker show"): COMMANDS,
    ("docs/ordering.md", "enqueue(session"): HERE,
    ("docs/personal-data.md", "worker jobs --all"): COMMANDS,
    ("docs/databases.md", "alter role"): SERVERS,
    ("docs/databases.md", "alter table"): SERVERS,
    ("docs/simulator.md", "curl "): HERE,
    ("docs/simulator.md", "worker simulator"): MACHINES,
    ("docs/wrong-text.md", "worker pause"): COMMANDS,
    ("docs/wrong-text.md", "worker correct"): COMMANDS,
    ("docs/wrong-text.md", "worker jobs"): COMMANDS,
    ("docs/stacks.md", "pip install"): "tests/process/clean_install.py",
    ("docs/stacks.md", "uv add"): "tests/process/clean_install.py",
    ("docs/accounts.md", "# shop/tokens.py"): HERE,
    ("docs/monitoring.md", "AccountParked"): "tests/structure/test_runbooks.py",
    ("docs/monitoring.md", "from opentelemetry"): HERE,
    ("docs/monitoring.md", "pip install"): MACHINES,
}
"""Page and begin of a block, and the test that runs it or makes it anew."""
MEASURED = "what a bench printed once, on the machine that the page names"
NOT_RUN = {
    ("docs/console.md", "location /"): "nginx is no part of the tests; they send the headers that it is told to set",
    ("docs/design.md", " your transaction"): "a picture",
    (
        "docs/channels.md",
        "# pyproject.toml",
    ): "a package of a reader's; tests/unit/config/test_outside_channels.py makes some",
}
"""Page and begin of a block, and why no test runs it."""


def judged() -> Iterator[tuple[str, str]]:
    """Page and text of every block that is no setting; one language is enough."""
    for page in pages():
        if page.name.startswith("docs/zh/") or ".zh-CN." in page.name:
            continue
        yield from ((page.name, block.text) for block in page.blocks if block.language != "toml")


def begun(name: str, text: str, known: dict[tuple[str, str], str]) -> list[tuple[str, str]]:
    """The entries that a block is."""
    return [entry for entry in known if entry[0] == name and text.startswith(entry[1])]


def test_no_block_is_left_out() -> None:
    """A new one fails here until a test runs it."""
    left = [
        f"{name}: {text.splitlines()[0]}"
        for name, text in judged()
        if not any(fnmatch(name, page) for page in WHOLE) and not begun(name, text, {**BY_BLOCK, **NOT_RUN})
    ]

    assert left == []


def test_no_block_of_a_recipe_is_beside_those_that_run() -> None:
    """Each begins with the name of the file that it is."""
    beside = {
        (page.name, block.text.splitlines()[0])
        for page in pages()
        for block in page.blocks
        if block.language != "toml" and not begun(page.name, block.text, {**BY_BLOCK, **NOT_RUN})
        if page.name.startswith("docs/recipes/") and not re.match(r"# [\w./-]+\.\w+\n", block.text)
    }

    assert beside == set()


def test_no_entry_is_left_behind() -> None:
    """Each is a block that there is, and is either run or not."""
    used = [entry for name, text in judged() for entry in begun(name, text, {**BY_BLOCK, **NOT_RUN})]

    assert {*used} == {*BY_BLOCK, *NOT_RUN}
    assert {*BY_BLOCK} & {*NOT_RUN} == set()


def test_the_tests_named_take_these_pages() -> None:
    """Each names the page, or the folder, whose blocks it runs."""
    named = [
        *WHOLE.items(),
        *((page, test) for (page, _), test in BY_BLOCK.items() if test not in (HERE, COMMANDS, MACHINES, SERVERS)),
    ]
    stems = {(page, test): page.removesuffix(".md").split("/") for page, test in named}

    lacking = [
        (page, test)
        for (page, test), (*_, folder, name) in ((key, ("", *parts)) for key, parts in stems.items())
        if (folder if "*" in name else name) not in (ROOT / test).read_text(encoding="utf-8")
    ]

    assert lacking == []


# -- Python that no other test runs -----------------------------------------------------------------------------------

Names = dict[str, Any]
ON_ONE = pytest.mark.fewer_databases("it is about the page")


def runs(page: str, begin: str, **names: Any) -> Names:
    """Runs one Python block of a page with these names; what it leaves."""
    (block,) = [block for block in Page(page).blocks_in("python") if block.text.startswith(begin)]
    exec(compile(block.text, page, "exec", dont_inherit=True), names)
    return names


@pytest.fixture
def session(sqlite_url: str) -> Iterator[Session]:
    """An application's transaction, with the accounts of tests."""
    worker.configure(ACCOUNTS)
    engine = an_engine(sqlite_url)
    with Session(engine) as one:
        yield one
    engine.dispose()
    worker.configure(None)


def test_accounts_come_from_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor's own rows are accounts, whose secret is read for each use."""
    corp = SimpleNamespace(
        name="acme", settings={"channel": "wecom_app", "corpid": "ww1", "agentid": 1}, read_secret=lambda: "s"
    )
    module = ModuleType("shop_wecom")
    vars(module).update(runs("docs/accounts.md", "# shop/wecom.py", Corp=SimpleNamespace(all=lambda: [corp])))
    monkeypatch.setitem(sys.modules, "shop_wecom", module)
    settings = tmp_path / "worker.toml"
    settings.write_text('accounts = "shop_wecom:accounts"\n', encoding="utf-8")

    account = accounts_of(load_settings(settings)).get("acme")

    assert account.secret is not None
    assert account.secret.read() == "s"


def test_a_channel_is_one_line() -> None:
    """Of the kind that the registry has."""
    made = runs("docs/common-changes.md", "REGISTRY = {", ChannelEntry=ChannelEntry)["REGISTRY"]

    assert {name: entry.public_module for name, entry in made.items()} == {"acme": "acme"}


def test_hooks_are_marked() -> None:
    """A module of the page's two blocks has four."""
    names = runs("docs/callbacks.md", "# shop/hooks.py")
    both = runs("docs/callbacks.md", "@on_message", **{n: one for n, one in names.items() if n != "__builtins__"})

    marked = {name for name, one in both.items() if hasattr(one, registry._MARK)}

    assert marked == {"decided", "failed", "over", "wrote", "came"}


def test_members_are_told_by_the_application() -> None:
    """All of them by name; None where the whole firm is meant."""
    directory = SimpleNamespace(userids=lambda parties, tags: [*parties, *tags])
    given = {"Sequence": list, "Iterable": list, "directory": directory}
    members_of: Callable[..., Any] = runs("docs/limits.md", "# shop/people.py", **given)["members_of"]

    assert members_of("hr", ["7"], ["12"]) == ["7", "12"]
    assert members_of("hr", ["@all"], []) is None


@ON_ONE
def test_a_body_of_another_sender_is_enqueued_once(session: Session) -> None:
    """Handed over twice it is one job."""
    first = runs("docs/migrate.md", "from worker import", session=session)["job"]
    again = runs("docs/migrate.md", "from worker import", session=session)["job"]

    assert first.id == again.id


@ON_ONE
def test_an_order_is_kept(session: Session) -> None:
    """Two jobs of a key, of which the second is sent whatever becomes of the first."""
    names = {name: getattr(worker, name) for name in ("enqueue", "Text", "To")}
    runs("docs/ordering.md", "enqueue(session", session=session, **names)
    session.commit()

    assert len(worker.find_jobs(session, worker.JobFilter(account="hr", order_key="ticket-4711")).jobs) == 2


def test_a_token_comes_from_a_function() -> None:
    """With the seconds that are left of it."""
    vault = SimpleNamespace(token=lambda account, renew: (f"{account}-{renew}", 7200))
    token_of = runs("docs/accounts.md", "# shop/tokens.py", vault=vault)["token_of"]

    assert token_of("hr", fresh=True) == ("hr-True", 7200)


@ON_ONE
def test_a_header_of_a_request_is_kept_with_the_job(session: Session) -> None:
    """The trace of the request is that of the job."""
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    runs(
        "docs/monitoring.md",
        "from opentelemetry",
        session=session,
        request=SimpleNamespace(headers={"traceparent": trace}),
    )
    session.commit()

    assert trace in row(session.connection(), "worker_jobs").values()


def test_an_embedded_outbox_is_opened(tmp_path: Path) -> None:
    """With the settings that our own connections have."""
    (block,) = Page("docs/databases.md").blocks_in("python")
    names: Names = {"worker": worker}
    exec(block.text.replace("/var/lib/app", str(tmp_path)), names)

    with names["engine"].connect() as connection:
        assert connection.exec_driver_sql("pragma journal_mode").scalar() == "wal"
    names["engine"].dispose()


def test_the_simulator_takes_what_the_page_tells_it() -> None:
    """Each line, typed in a shell."""
    (block,) = [block for block in Page("docs/simulator.md").blocks if block.text.startswith("curl ")]
    with running(SimulatorSettings()) as url:
        typed = block.text.replace("localhost:8081", url.removeprefix("http://"))
        said = [
            subprocess.run(["sh", "-c", f"{line} --fail"], capture_output=True, text=True, check=True).stdout
            for line in typed.splitlines()
        ]

    assert len(said) == 6
    assert [one for one in said if not re.match(r"[\[{]", one)] == []
