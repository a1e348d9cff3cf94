"""What runs on fewer databases or stacks than there are says why, beside it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from rig import databases
from rig.servers import own_pgbouncer, own_server
from rig.stacks import EMBEDDED, on_its_own, on_stacks
from worker.outbox.engine.database import Database

TESTS = Path(__file__).parents[1]
ON_EACH = {"database", "database_url"}
ON_FEWER = {f"{name}_{what}" for name in ("sqlite", "postgres", "mariadb") for what in ("database", "url")}
ON_FEWER |= {"server_database"}
MARK = "pytest.mark.fewer_databases"

Function = ast.FunctionDef


def test_every_process_test_says_where_it_runs() -> None:
    """On the usual stacks, or on those it names for a reason, or on its own for one."""
    decorators = {"on_stacks", "on_its_own"}

    undecorated = [
        f"{path.name}: {test.name}"
        for path in sorted((TESTS / "process").glob("test_*.py"))
        for test in _tests(path)
        if not decorators & {name.partition("(")[0] for name in map(ast.unparse, test.decorator_list)}
    ]

    assert undecorated == []


def test_other_stacks_need_a_reason() -> None:
    """And a reason without stacks is left over from some."""
    with pytest.raises(TypeError, match="why"):
        on_stacks(EMBEDDED)
    with pytest.raises(TypeError, match="why"):
        on_stacks(why="it was slow")
    with pytest.raises(TypeError, match="why"):
        on_its_own(why="")


def test_a_missing_program_fails_where_services_are_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its test is skipped elsewhere; a run of everything would say nothing of it."""
    monkeypatch.setattr(databases, "missing", {})
    monkeypatch.delenv("REQUIRE_SERVICES", raising=False)

    ends = (pytest.skip.Exception, pytest.fail.Exception)
    with pytest.raises(ends, match="PgBouncer") as left_out:
        own_server.need(own_pgbouncer.PROGRAMS, found=False)
    monkeypatch.setenv("REQUIRE_SERVICES", "1")
    with pytest.raises(ends, match="PgBouncer") as demanded:
        own_server.need(own_pgbouncer.PROGRAMS, found=False)

    assert ends == (left_out.type, demanded.type)
    assert set(databases.missing) == {"PgBouncer"}


@pytest.mark.parametrize("room", ["pipeline", "conformance", "docs"])
def test_fewer_databases_need_a_reason(room: str) -> None:
    """Whatever asks for one database, or for servers alone, carries `fewer_databases`; and that has its reason."""
    unexplained = [
        f"{path.name}: {test.name}"
        for path in sorted((TESTS / room).rglob("test_*.py"))
        for test in _tests(path)
        if (_runs_on_fewer(path, test) or any(_marks(path, test))) and not all(_reasons(path, test))
    ]

    assert unexplained == []


def test_fewer_databases_are_noticed() -> None:
    """Asked for by name, or through a fixture of the module or of a folder above."""
    path = TESTS / "pipeline" / "test_media_waiting.py"
    direct, through, each = (
        ast.parse(f"def test_it({asked}): ...").body[0] for asked in ("mariadb_url", "server_site", "database")
    )

    assert [_runs_on_fewer(path, one) for one in (direct, through, each)] == [True, True, False]  # type: ignore[arg-type]


@pytest.mark.fewer_databases("this is about the mark")
def test_with_the_mark_the_database_is_sqlite(database: Database) -> None:
    """Whatever databases are there: on another one this would fail."""
    assert database.dialect.name == "sqlite"


def _runs_on_fewer(path: Path, test: Function) -> bool:
    asked = set(_asked_for(path, test))
    return bool(asked & ON_FEWER) and not asked & ON_EACH


def _asked_for(path: Path, function: Function) -> Iterator[str]:
    """Names of all fixtures behind a function, those of databases not looked into."""
    arguments = function.args
    for name in (argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)):
        yield name
        fixture = _fixtures(path).get(name)
        if fixture is not None and name not in ON_EACH | ON_FEWER and fixture is not function:
            yield from _asked_for(path, fixture)


@cache
def _fixtures(path: Path) -> dict[str, Function]:
    """By name: the module's own go before its folder's, and those before all tests'."""
    places = (TESTS / "conftest.py", path.parent / "conftest.py", path)
    return {
        function.name: function
        for place in places
        if place.exists()
        for function in _functions(place)
        if any("pytest.fixture" in ast.unparse(decorator) for decorator in function.decorator_list)
    }


def _marks(path: Path, test: Function) -> Iterator[ast.expr]:
    """Every `fewer_databases` on the test or its module, written there or under a name of the module."""
    named = dict(_assigned(path))
    module = named.get("pytestmark")
    marks = [*test.decorator_list, *(module.elts if isinstance(module, ast.List) else [module])]
    for mark in (named.get(ast.unparse(mark), mark) for mark in marks if mark is not None):
        if MARK == ast.unparse(mark.func if isinstance(mark, ast.Call) else mark):
            yield mark


def _reasons(path: Path, test: Function) -> list[str]:
    """The words of each; empty for one without."""
    marks = list(_marks(path, test))
    words = [ast.literal_eval(mark.args[0]) if isinstance(mark, ast.Call) and mark.args else "" for mark in marks]
    return words or [""]


def _assigned(path: Path) -> Iterator[tuple[str, ast.expr]]:
    for statement in _module(path).body:
        if isinstance(statement, ast.Assign):
            yield from ((ast.unparse(target), statement.value) for target in statement.targets)


def _tests(path: Path) -> list[Function]:
    return [function for function in _functions(path) if function.name.startswith("test_")]


def _functions(path: Path) -> list[Function]:
    return [node for node in _module(path).body if isinstance(node, Function)]


@cache
def _module(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
