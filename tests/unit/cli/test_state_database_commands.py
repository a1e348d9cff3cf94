"""The commands where several installations share a state database: what they upgrade, read, refuse and say."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from worker.config.settings import load_settings
from worker.control.opening import database_of
from worker.domain.callbacks.inbound import GrantKind
from worker.domain.errors import ConfigurationError
from worker.domain.pacing.lane import LaneBlock
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.engine.migrate import stored_lane_key, upgrade
from worker.outbox.lanes import grants
from worker.outbox.lanes.grants import GrantKey, SealedGrant
from worker.outbox.lanes.lanes import block_lanes
from worker.outbox.upkeep.shared_state import upgrade_all

Typed = Callable[..., tuple[int, str]]
HR = '[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 1\nsecret = { env = "HR_SECRET" }\n'


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A worker.toml with an outbox and a state, neither of which exists yet."""
    path = tmp_path / "worker.toml"
    places = f'database = "sqlite:///{tmp_path}/outbox.db"\nstate_database = "sqlite:///{tmp_path}/state.db"\n'
    path.write_text(places + HR, encoding="utf-8")
    monkeypatch.setenv("WORKER_CONFIG", str(path))
    monkeypatch.setenv("HR_SECRET", "canary-secret")
    return path


def opened(file: Path) -> closing[Database]:
    return closing(Database(make_engine(f"sqlite:///{file}")))


def sharing(file: Path, state: Path) -> closing[Database]:
    shared = Database(make_engine(f"sqlite:///{state}"))
    return closing(Database(make_engine(f"sqlite:///{file}"), state=shared))


def upgraded(file: Path, revision: str = "head") -> None:
    with opened(file) as database:
        upgrade(database.engine, revision)


def key_of(file: Path) -> str | None:
    with opened(file) as database:
        return stored_lane_key(database.engine)


def tables_of(file: Path) -> list[str]:
    with opened(file) as database:
        return sorted(inspect(database.engine).get_table_names())


# -- tables and keys --------------------------------------------------------------------------------------------------


def test_upgrade_makes_both_under_one_key(typed: Typed, config: Path) -> None:
    """Check and current treat both, and are content with both."""
    status, _ = typed("db", "upgrade")
    checked, told = typed("db", "check", "--json")

    assert (0, 0) == (status, checked)
    assert json.loads(told)["tables"] == json.loads(told)["state"]
    assert key_of(config.parent / "outbox.db") == key_of(config.parent / "state.db")
    assert 0 == typed("db", "current")[0]


def test_check_and_current_miss_a_state_without_tables(typed: Typed, config: Path) -> None:
    """An outbox that is upgraded alone is not enough."""
    upgraded(config.parent / "outbox.db")

    status, told = typed("db", "check")

    assert 1 == status
    assert "run `worker db upgrade`" in told
    assert 1 == typed("db", "current")[0]


def test_a_new_state_takes_over_the_key_of_the_outbox(tmp_path: Path) -> None:
    """The lanes of what waits already keep their names."""
    own = tmp_path / "own.db"
    upgraded(own)
    before = key_of(own)

    with sharing(own, tmp_path / "state.db") as both:
        upgrade_all(both)

    assert before == key_of(own) == key_of(tmp_path / "state.db")


def test_a_new_outbox_takes_over_the_key_of_the_state(tmp_path: Path) -> None:
    """So a further installation joins."""
    for name in ("one.db", "two.db"):
        with sharing(tmp_path / name, tmp_path / "state.db") as both:
            upgrade_all(both)

    assert key_of(tmp_path / "one.db") == key_of(tmp_path / "two.db") == key_of(tmp_path / "state.db")


def test_two_keys_are_refused_before_anything_is_changed(tmp_path: Path) -> None:
    """The tables of both stay at the revision they were at."""
    own, state = tmp_path / "own.db", tmp_path / "state.db"
    upgraded(own, "0001")
    upgraded(state)
    before = tables_of(own)

    with (
        sharing(own, state) as both,
        pytest.raises(ConfigurationError, match="state_database: it has another lane key"),
    ):
        upgrade_all(both)

    assert before == tables_of(own)


def test_what_was_counted_and_what_callbacks_brought_goes_over(tmp_path: Path) -> None:
    """Limits stay used, and no corp has to authorise again; what the state knows already stays."""
    own, state = tmp_path / "own.db", tmp_path / "state.db"
    upgraded(own)
    code = SealedGrant(GrantKey(GrantKind.CODE, "suite", "wwacme"), "sealed", 1, None)
    spent = SealedGrant(GrantKey(GrantKind.AUTH_CODE, "suite", "x"), "sealed", 1, 600)
    with opened(own) as outbox, outbox.writing() as connection:
        for grant in (code, spent):
            grants.keep(connection, 1, grant)
        connection.execute(text("insert into worker_budgets (id, buckets, updated_at) values ('k', '[[1,2,3]]', 1)"))

    with sharing(own, state) as both:
        upgrade_all(both)
        with both.state.writing() as connection:
            connection.execute(text("update worker_budgets set buckets = '[]'"))
        upgrade_all(both)

    with opened(state) as shared, shared.reading() as connection:
        kept = connection.execute(text("select kind, subject from worker_grants")).all()
        counted = connection.execute(text("select id, buckets from worker_budgets")).all()
    assert [("code", "wwacme")] == [tuple(row) for row in kept]
    assert [("k", "[]")] == [tuple(row) for row in counted]


def test_downgrade_leaves_the_state_alone(typed: Typed, config: Path) -> None:
    """Other installations use it."""
    typed("db", "upgrade")

    status, _ = typed("db", "downgrade", "base")

    assert 0 == status
    assert key_of(config.parent / "state.db") is not None
    assert key_of(config.parent / "outbox.db") is None


def test_a_state_that_is_the_outbox_is_refused(typed: Typed, config: Path) -> None:
    """It would be two engines on one file, and shared by none."""
    config.write_text(config.read_text().replace("state.db", "outbox.db"), encoding="utf-8")

    status, told = typed("db", "upgrade")

    assert 0 != status
    assert "state_database is the database itself" in told


def test_a_wrong_driver_is_told_of_the_state(config: Path) -> None:
    """The sentence names the setting that is wrong."""
    config.write_text(config.read_text().replace(f"sqlite:///{config.parent}/state.db", "oracle://h/x"))

    with pytest.raises(ConfigurationError, match=r"^state_database: "):
        database_of(load_settings())


# -- what people read -------------------------------------------------------------------------------------------------


def block(config: Path, **fields: object) -> None:
    """The account is blocked in the shared state."""
    found = LaneBlock("hr", "hr", "hr", 600.0, "60020 not trusted", "add the IP", parked=True)
    with opened(config.parent / "state.db") as state:
        state.run(lambda connection: block_lanes(connection, state.now, [found]))


def test_lanes_resume_and_doctor_read_the_state(typed: Typed, config: Path) -> None:
    """Another installation's block is told here, and may be lifted here."""
    typed("db", "upgrade")
    block(config)

    listed, events, healthy = typed("lanes"), typed("lanes", "--events"), typed("doctor")
    lifted, after = typed("resume", "hr"), typed("lanes")

    assert "60020 not trusted" in listed[1]
    assert "parked" in events[1]
    assert "state database: reachable, tables at revision" in healthy[1]
    assert "account hr: parked: 60020 not trusted" in healthy[1]
    assert 0 == lifted[0]
    assert "parked" not in after[1]


def test_limits_are_listed_with_a_state(typed: Typed, config: Path) -> None:
    """The counts are of the state, which has none yet."""
    typed("db", "upgrade")

    status, told = typed("limits", "--account", "hr")

    assert 0 == status
    assert "used 0" in told


def test_doctor_says_that_no_call_begins_without_the_state(typed: Typed, config: Path) -> None:
    """The rest of the outbox is checked all the same."""
    typed("db", "upgrade")
    with opened(config.parent / "state.db") as state, state.writing() as connection:
        connection.execute(text("drop table worker_lanes"))

    status, told = typed("doctor")

    assert 1 == status
    assert "problem  state database:" in told
    assert "no call begins without it" in told
    assert "workers: none is alive" in told


def test_a_relative_path_of_the_outbox_is_refused_too(
    typed: Typed, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file under two names would wait for itself."""
    monkeypatch.chdir(config.parent)
    config.write_text('database = "sqlite:///outbox.db"\n' + config.read_text().split("\n", 1)[1])
    config.write_text(config.read_text().replace("/state.db", "/outbox.db"), encoding="utf-8")

    status, told = typed("db", "upgrade")

    assert 2 == status
    assert "state_database is the database itself" in told
