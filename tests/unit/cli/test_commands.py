"""The commands without a worker: tables, lists, one job, replay; errors are one sentence with a status."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import celery.worker.state
import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError, OperationalError

from tests.unit.service.rooms import Site, celery_restored
from worker import Text, To, enqueue, recall, replay, sqlite_engine
from worker.accounts.sources import accounts_of
from worker.cli.commands import GROUPS, command_files, every_command
from worker.cli.options import to_json
from worker.cli.reading import padded
from worker.cli.running import hints
from worker.cli.showing import OTHER_FIELDS, code_lines, report_lines
from worker.config.settings import Settings, load_settings
from worker.domain.pacing.lane import LaneBlock
from worker.domain.state import JobState, PartState
from worker.outbox import tables
from worker.outbox.engine.bulk import insert_rows
from worker.outbox.engine.database import Database, make_engine
from worker.outbox.lanes.lanes import change_lanes
from worker.reporting.code_stock import CardCodes
from worker.reporting.report import wait_until_ended
from worker_simulator.server import running

Run = Callable[..., int]


@pytest.fixture
def job(run: Run) -> str:
    """A job that waits."""
    settings = load_settings()
    engine = make_engine(settings.database_url())
    with engine.begin() as connection:
        ref = enqueue(connection, "hr", Text(content="hello"), To(users=["anna"]), accounts=accounts_of(settings))
    engine.dispose()
    return ref.id


def test_jobs_are_listed(run: Run, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As lines and as JSON, by state and account."""
    assert [run("jobs"), run("jobs", "--state", "open", "--json"), run("jobs", "--account", "no")] == [0, 0, 1]

    lines = capsys.readouterr().out.splitlines()

    assert lines[0].split() == ["JOB", "ENQUEUED", "ACCOUNT", "WHAT", "STATE", "ERRCODE", "TO"]
    assert [job, "hr", "text", "open", "-", "anna"] == [word for n, word in enumerate(lines[1].split()) if n != 1]
    assert [(job, "open", "text")] == [(one["id"], one["state"], one["type"]) for one in json.loads(lines[2])["jobs"]]
    assert lines[3] == "no jobs"


def test_jobs_are_listed_oldest_first(run: Run, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """From any place on, and by all pages; a page goes on in the order that is asked for."""
    run("send", "hr", "--text", "second", "--to", "bob")
    second = capsys.readouterr().out.split()[0]

    assert run("jobs", "--oldest-first", "--limit", "1") == 0
    assert run("jobs", "--oldest-first", "--page-after", job) == 0
    assert run("jobs", "--oldest-first", "--all") == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]

    assert ["JOB", job, "JOB", second, "JOB", job, second] == listed
    assert run("jobs", "--page-after", second) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith(job)


def test_a_job_is_shown(run: Run, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """State, counts and timeline, as text and as JSON."""
    assert [run("show", job), run("show", job, "--json")] == [0, 0]

    text, _, data = capsys.readouterr().out.rstrip().rpartition("\n")

    assert f"job {job}: send on account hr is open" in text
    assert "enqueued" in text
    assert json.loads(data)["counts"]["asked"] == 1
    assert len(json.loads(data)["timeline"]) == 1


@pytest.mark.parametrize("name", [lambda job: job[:8], lambda job: job.upper(), lambda job: f"{job}-0"])
def test_a_job_is_shown_by_every_name_that_why_takes(
    run: Run, job: str, capsys: pytest.CaptureFixture[str], name: Callable[[str], str]
) -> None:
    """Its beginning, or the id of a part, as other commands print them."""
    assert [run("show", name(job)), run("why", name(job))] == [0, 0]
    assert 2 <= capsys.readouterr().out.count(job)


def test_a_job_and_its_replay_are_shown_with_each_other(run: Run, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """From either the other is found, and from a recall what it is about."""
    settings = load_settings()
    engine = make_engine(settings.database_url())
    with engine.begin() as connection:
        connection.exec_driver_sql("update worker_jobs set n_open = 0, n_rejected = 1, state = 4, finished_at = 1")
        again = replay(connection, job, accounts=accounts_of(settings)).id
        about = recall(connection, again, accounts=accounts_of(settings)).id
    engine.dispose()

    assert [run("show", job), run("show", again), run("show", about)] == [0, 0, 0]

    shown = capsys.readouterr().out
    links = [line.strip() for line in shown.splitlines() if "replay" in line or "about" in line]
    assert [f"was replayed as job {again}", f"is a replay of job {job}", f"is about job {again}"] == links


def test_a_card_is_shown_with_what_is_left_to_update_it() -> None:
    """How many codes, and until when; a card that has none left has no end to tell."""
    until = datetime(2026, 7, 4, 9, tzinfo=UTC)

    lines = list(code_lines([CardCodes("j", "j-0", 2, until), CardCodes("j", "j-1", 0, None)]))

    assert lines == [
        "  card of part j-0: updates still possible: 2, the last until 2026-07-04T09:00:00.000+00:00",
        "  card of part j-1: updates still possible: 0",
    ]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("show", "0" * 32), 1, "no job"),
        (("replay", "0" * 32), 1, "no job"),
        (("jobs", "--state", "flying"), 2, "is not a state"),
        (("show", "x' or 1=1 --"), 1, "no job"),
        (("show", ""), 1, "no job"),
        (("show", "\udcff"), 1, "not UTF-8"),
        (("replay", "\udcff"), 1, "not UTF-8"),
        (("jobs", "--account", "\udcff"), 1, "not UTF-8"),
    ],
)
def test_an_error_is_one_sentence(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], status: int, words: str
) -> None:
    """On stderr, with 1 for what is not there and 2 for what was said wrong."""
    assert status == run(*arguments)

    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        "jobs",
        "show 0",
        "lanes",
        "lanes --history",
        "limits",
        "inbound --chats",
        "hooks",
        "doctor",
        "metrics",
        "receiver",
        "replay 0",
        "skip 0",
        "resume hr",
        "hooks --retry 0",
        "db check",
    ],
)
def test_only_what_makes_tables_makes_a_database(
    run: Run, arguments: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a folder where nothing is, a command says what was looked for and leaves nothing behind."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.delenv("WORKER_CONFIG")

    status = run(*arguments.split())

    assert status in (1, 2)
    assert list(Path().iterdir()) == []
    if arguments != "db check":  # which says that there are no tables
        printed = "".join(capsys.readouterr())
        assert (
            f"there is no file {tmp_path}/elsewhere/worker.db; run `worker db upgrade`, or correct database" in printed
        )
        assert f"worker.toml (there is none in {tmp_path}/elsewhere; WORKER_CONFIG can name another)" in printed


def test_in_a_folder_without_settings_a_newcomer_hears_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`worker doctor` calls nothing fine that is not there, and `worker db upgrade` names the file that it makes."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("WORKER_CONFIG")
    missing = f"worker.toml (there is none in {folder}; WORKER_CONFIG can name another)"

    run("doctor")
    doctor = capsys.readouterr().out.splitlines()
    run("db", "upgrade")
    first = capsys.readouterr().err
    run("db", "upgrade")
    again = capsys.readouterr().err

    assert f"caution  settings: no settings were found: {missing}; `worker init` writes a settings file" in doctor
    made = f"created {folder}/worker.db, because no setting names a database; check that this is the right folder."
    assert f"{made} Settings: {missing}\n" == first
    assert again == ""


@pytest.mark.parametrize("url", [f"sqlite:///file:{where}own%20name.db?uri=true" for where in ("", "{folder}/")])
def test_a_file_may_be_named_as_sqlites_own_uri(
    run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is looked for where SQLite looks for it: before it is there nothing is made, afterwards it is read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKER_DATABASE", url.format(folder=tmp_path))

    before = run("jobs"), (tmp_path / "own name.db").exists()
    run("db", "upgrade")
    after = run("jobs"), (tmp_path / "own name.db").exists()

    assert before == (2, False)
    assert after == (0, True)
    assert f"there is no file {tmp_path}/own name.db;" in capsys.readouterr().err


def test_a_database_error_nobody_foresaw_shows_no_value(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only its class is said: its text holds the statement and what was bound to it."""

    def fails(*_: Any) -> str:
        raise IntegrityError("insert canary", {"value": "canary"}, sqlite3.IntegrityError("canary is not unique"))

    monkeypatch.setattr("worker.producer.resend.skip", fails)

    assert run("skip", "0" * 32) == 1

    error = capsys.readouterr().err
    assert "database: failed with IntegrityError" in error
    assert "canary" not in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["jobs"], "the output could not be written (No space left on device)"),
        (["send", "hr", "--text", "second", "--to", "bob"], "carried out, but its result could not be written"),
    ],
    ids=["jobs", "send"],
)
@pytest.mark.slow("starts two interpreters")
def test_a_full_disk_under_the_output_is_one_sentence(run: Run, job: str, arguments: list[str], sentence: str) -> None:
    """Which says whether the command has done its work."""
    with open("/dev/full", "w", encoding="utf-8") as full:
        command = [sys.executable, "-m", "worker.cli", *arguments]
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)

    assert ended.returncode == 1
    assert sentence in ended.stderr
    assert len(ended.stderr.splitlines()) == 1, ended.stderr


@pytest.mark.slow("starts two interpreters")
def test_a_closed_pipe_hides_no_job(run: Run, job: str) -> None:
    """A list ends without a word, because its reader has read enough."""
    endings = []
    for arguments in (["jobs"], ["send", "hr", "--text", "second", "--to", "bob"]):
        reader, writer = os.pipe()
        os.close(reader)
        command = [sys.executable, "-m", "worker.cli", *arguments]
        ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
        os.close(writer)
        endings.append(ended.stderr.strip())

    assert endings[0] == ""
    assert "the command was carried out, but its result could not be written (Broken pipe)" in endings[1]


@pytest.mark.parametrize("step", ["alive_processes", "wait_until_ended"])
def test_who_stops_waiting_is_told_the_job(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], step: str
) -> None:
    """Ctrl-C ends the command; the job goes on. So it does before the wait begins."""

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"worker.cli.sending.{step}", interrupted)

    assert run("send", "hr", "--text", "second", "--to", "bob", "--wait") == 130
    assert "goes on by itself; `worker cancel" in capsys.readouterr().err


def test_an_open_job_is_not_replayed(run: Run, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Its end must be waited for."""
    assert run("replay", job) == 1

    error = capsys.readouterr().err
    assert "still open" in error
    assert len(error.splitlines()) == 1


def test_an_ended_job_is_replayed(run: Run, job: str, sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The new job's id is printed, and the new job is listed beside the first."""
    site = Site(sqlite_url)
    lane, part = site.part(job)
    with site.open() as room:
        room.answer_doorbell(lane, [part])
        wait_until_ended(site.database, job, 30)

    assert run("replay", job) == 1
    assert "1 accepted (accepted=True, or --accepted, sends to them again)" in capsys.readouterr().err
    assert run("replay", job, "--accepted") == 0
    new = capsys.readouterr().out.splitlines()[-1]
    assert run("jobs", "--json") == 0

    assert {job, new} == {one["id"] for one in json.loads(capsys.readouterr().out)["jobs"]}
    assert new != job


@pytest.mark.parametrize(
    ("arguments", "action", "did"),
    [
        (("replay", "JOB"), "replay", "result: replays 1"),
        (("skip", "JOB"), "skip", "result: nothing"),
        (("resume", "hr"), "resume", "result: nothing"),
        (("hooks", "--retry", "0" * 32), "retry", "result: nothing"),
    ],
)
def test_what_changes_something_leaves_an_audit(
    run: Run, job: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], action: str, did: str
) -> None:
    """Who, why, and how much; also where nothing of it was to be changed."""
    engine = make_engine(load_settings().database_url())
    with engine.begin() as connection:
        connection.exec_driver_sql("update worker_jobs set n_open = 0, n_rejected = 1, state = 4, finished_at = 1")
    engine.dispose()
    given = [job if word == "JOB" else word for word in arguments]

    assert (0 if "1" in did else 1) == run(*given, "--as", "zhang", "--why", "as she asked", "--json")
    told = capsys.readouterr().out
    assert run("audit") == 0
    listed = capsys.readouterr().out

    assert not told or json.loads(told)
    assert f"  {action} by zhang\n  why: as she asked\n" in listed
    assert did in listed
    assert "cut short" not in listed


def test_a_job_of_a_parked_account_waits_for_the_next_probe(
    run: Run, job: str, sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not until then: the probe may be refused, too."""
    block = LaneBlock("hr", "hr", 600.0, "60020 no", "do it", parked=True)
    with closing(Database(make_engine(sqlite_url))) as database:
        database.run(lambda connection: change_lanes(connection, database.now, [block]))

    run("why", job)

    [wait] = [line for line in capsys.readouterr().out.splitlines() if "waits for parked" in line]
    assert ", next probe at 20" in wait


def test_why_a_job_waits_is_told(run: Run, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the beginning of its id: its counts, what it waits for, its history, and what to paste."""
    assert [run("why", job[:12]), run("why", job, "--json"), run("why", "nothing")] == [0, 0, 1]

    told = capsys.readouterr()
    text, _, data = told.out.rstrip().rpartition("\n")

    assert text.startswith(f"job {job}: send on account hr is open\n")
    assert "  part 0 waits for worker: no worker process is alive\n" in text
    assert "  job     enqueued: send on account hr, 1 recipient\n" in text
    assert text.endswith("\nnext: see what is wrong with the installation\n  worker doctor")
    assert [{"what": "worker", "part": f"{job}-0"}] == [
        {name: wait[name] for name in ("what", "part")} for wait in json.loads(data)["waits"]
    ]
    assert "no job 'nothing'" in told.err


ENDED = "state = {0}, n_open = 0, n_{1} = 1, finished_at = 1"
STANDS = {
    "is paused": ["worker pause --account hr"],
    "is held": ["worker pause {job}"],
    "is rejected": [f"update worker_jobs set {ENDED.format(4, 'rejected')}", "update worker_parts set state = 4"],
    "has expired": [f"update worker_jobs set {ENDED.format(7, 'expired')}", "update worker_parts set state = 7"],
    "was cancelled": ["worker cancel {job} --yes"],
    "is in doubt": [
        f"update worker_jobs set {ENDED.format(6, 'unknown')}",
        "update worker_parts set state = 6, not_before = null, doubts = 1, reason = 'no answer'",
    ],
}
"""What makes a job so: commands, or statements."""


@pytest.mark.parametrize("does", STANDS.values(), ids=STANDS)
def test_the_one_thing_to_do_is_a_command_that_answers(
    run: Run, job: str, does: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the last line of `worker why`, typed as it stands; nothing in it is spelled wrongly or left out."""
    engine = make_engine(load_settings().database_url())
    for step in does:
        if step.startswith("worker"):
            assert run(*shlex.split(step.format(job=job))[1:]) == 0
        else:
            with engine.begin() as connection:
                connection.exec_driver_sql(step)
    engine.dispose()
    capsys.readouterr()
    run("why", job)
    command = capsys.readouterr().out.splitlines()[-1]

    status = run(*shlex.split(command)[1:], types="n\n")

    answer = capsys.readouterr()
    assert command.startswith("  worker ")
    assert status in (0, 1), (command, answer)
    assert "Usage" not in answer.err, (command, answer)


def test_the_release_is_told(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Before any command, and without settings."""
    assert run("--version") == 0
    said = re.fullmatch(r"im-delivery-worker (\S+), tables at revision \d{4}\n", capsys.readouterr().out)
    assert said is not None
    assert version("im-delivery-worker") == said[1]


def test_columns_stand_below_each_other_in_chinese_too() -> None:
    """A Chinese character takes two places on a terminal."""
    assert [padded(name, 6) + "|" for name in ("财务", "hr")] == ["财务  |", "hr    |"]


def test_what_is_not_listed_is_json_too(run: Run, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On every command that ends by itself."""
    for arguments in (("db", "check"), ("db", "upgrade"), ("explain", "60020"), ("lanes",)):
        assert run(*arguments, "--json") == 0
        assert json.loads(capsys.readouterr().out) is not None


@pytest.mark.parametrize(
    "arguments", [("up", "--threads", "0"), ("up", "--loglevel", "LOUD"), ("jobs", "--limit", "0"), ("show",)]
)
def test_an_impossible_option_ends_with_2(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """Before anything runs; the usage names the option."""
    assert run(*arguments) == 2
    assert "Usage: worker" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [("--help",), ("up", "--help"), ("db", "--help"), ("simulator", "--help")])
def test_every_command_explains_itself(
    run: Run, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    """On stdout, with status 0."""
    assert run(*arguments) == 0
    assert "--help" in capsys.readouterr().out


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, (*path, name))


def test_the_help_shows_every_word_that_was_written(run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Of commands and options: what Rich takes for markup is not lost."""
    monkeypatch.setenv("COLUMNS", "400")
    lost = []
    for path, command in _commands(every_command()):
        if path == ("simulator",):
            continue  # has a help of its own
        run(*path, "--help")
        shown = capsys.readouterr().out
        written = [command.help or "", *(getattr(option, "help", None) or "" for option in command.params)]
        words = " ".join(written).replace("\\[", "[").split()
        lost += [(path, word) for word in words if word not in shown]

    assert lost == []


def test_the_help_loads_no_worker() -> None:
    """It comes at once: Celery, SQL and requests are imported by the commands that need them."""
    code = (
        "import sys\nsys.argv = ['worker', '--help']\nfrom worker.cli import main\ntry:\n    main()\nfinally:\n"
        "    heavy = {'celery', 'sqlalchemy', 'requests', 'pydantic', 'alembic'} & sys.modules.keys()\n"
        "    sys.stderr.write(f'{sorted(heavy)}')"
    )

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert found.stderr == "[]"
    assert "replay" in found.stdout


@pytest.mark.slow("starts three interpreters")
@pytest.mark.parametrize("words", ["jobs", "why JOB", "doctor"])
def test_a_short_command_loads_what_it_needs(job: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No session, no dialect of another database, no log, and nothing that calls or serves; then garbage is collected.

    `python -m bench kit --commands 10` measures how long it takes.
    """
    late = {
        "sqlalchemy.orm",
        "sqlalchemy.dialects.postgresql",
        "sqlalchemy.dialects.mysql",
        "structlog",
        "rich.console",
    }
    late |= {"celery", "requests", "urllib3", "starlette", "jinja2", "opentelemetry", "worker.delivery.sender"}
    code = (
        f"import atexit, gc, sys\nsys.argv, late = ['worker', *{words.replace('JOB', job).split()}], {late}\n"
        "atexit.register(lambda: print(sorted(late & sys.modules.keys()), gc.isenabled(), file=sys.stderr))\n"
        "from worker.cli.__main__ import process\nprocess()"
    )
    monkeypatch.setenv("HR_SECRET", "s1")

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert found.stderr == "[] True\n"
    assert found.stdout


def test_the_help_has_every_command_in_its_own_words() -> None:
    """Both are read without loading a file of commands."""
    loaded_ones = {name: command.help for name, command in every_command().commands.items()}
    read_ones = {name: help for name, (_, help) in command_files().items()}

    assert loaded_ones.keys() - read_ones.keys() == {"demo", "simulator", "explain"}
    assert {name: loaded_ones[name] for name in read_ones} == read_ones
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(loaded_ones)


def test_who_types_worker_alone_reads_what_one_needs_first(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Five commands that are there; `--help` has all, in groups in the order of need."""
    assert run() == 0
    first = capsys.readouterr().out
    run("--help")
    groups = [line.split()[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("╭")]

    assert [line.split()[1] for line in first.splitlines()[:-1]] == ["demo", "init", "up", "doctor", "why"]
    assert [" ".join(words).rstrip(" ─") for words in groups[1:]] == [*GROUPS]


@pytest.mark.filterwarnings("ignore::celery.exceptions.SecurityWarning")  # tests may run as root
def test_up_delivers_until_it_is_told_to_end(
    run: Run, job: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Everything in one process, whatever broker the settings name; a clean end is status 0."""
    levels: list[object] = []
    monkeypatch.setattr("worker.config.logging.set_up", lambda level, **_: levels.append(level))
    monkeypatch.setenv("WORKER_BROKER", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("HR_SECRET", "s1")
    status: list[int] = []
    database = Database(make_engine(load_settings().database_url()))

    with running() as vendor, celery_restored():
        monkeypatch.setenv("WORKER_CONFIG", str(_with_base_url(vendor)))
        thread = threading.Thread(target=lambda: status.append(run("up", "--threads", "2", "--loglevel", "warning")))
        thread.start()
        report = wait_until_ended(database, job, 30)
        celery.worker.state.should_stop = 0
        thread.join(120)
    database.close()

    assert status == [0]
    assert report.state == JobState.ACCEPTED
    assert len(levels) == 1
    assert "the broker of the settings is for" in capsys.readouterr().err
    assert run("show", job) == 0
    assert "accepted 1" in capsys.readouterr().out


def _with_base_url(vendor: str) -> Path:
    path = Path(os.environ["WORKER_CONFIG"])
    path.write_text(path.read_text(encoding="utf-8") + f'base_url = "{vendor}"\n', encoding="utf-8")
    return path


def test_a_report_tells_warnings_receipts_failures_and_reasons() -> None:
    """In words, one line each; what was recalled or never sent says so."""
    ids = dict.fromkeys(("msgid", "media_id", "chatid", "url"))
    given = [{"msgid": "m1"}, {"media_id": "media1"}, {"chatid": "chat1"}, {"url": "http://p.qpic.cn/1"}]
    receipts = [SimpleNamespace(**ids | one, not_sent=False, accepted_at=NOON, recalled_at=None) for one in given]
    receipts[0].recalled_at = NOON
    receipts += [
        SimpleNamespace(**ids, not_sent=True, accepted_at=NOON, recalled_at=None),
        SimpleNamespace(**ids, not_sent=False, accepted_at=None, recalled_at=None),
    ]
    failure = SimpleNamespace(kind="user", recipient="ghost", field_name="invaliduser", errcode=0)
    counts = SimpleNamespace(asked=2, accepted=1, refused=1, unknown=0, never_sent=0, waiting=0)
    part = SimpleNamespace(id="j1-0", state=PartState.QUEUED, reason="limit is used up", account="it")
    report = SimpleNamespace(
        id="j1", kind="send", account="hr", label="partial", counts=counts, warnings=["cut at 512 bytes"],
        receipts=receipts, parts=[part, SimpleNamespace(reason=None, account="hr")], replays=(),
        target_job_id=None, is_correction=False, replay_of=None,
        **{**dict.fromkeys(OTHER_FIELDS), "tags": ("payroll", "july"), "expires_at": NOON},
    )  # fmt: skip

    text = "\n".join(report_lines(report, [failure]))  # type: ignore[arg-type,list-item]

    at = NOON.isoformat(timespec="milliseconds")
    assert "job j1: send on account hr is partial" in text
    assert "  warning: cut at 512 bytes" in text
    assert f"  tags: payroll july\n  expires_at: {at}\n" in text
    assert "tenant" not in text
    assert f"  receipt m1 at {at}, recalled {at}\n" in text
    assert f"  receipt media1 at {at}\n" in text
    assert f"  receipt chat1 at {at}\n" in text
    assert f"  receipt http://p.qpic.cn/1 at {at}\n" in text
    assert f"  receipt nothing had to be sent at {at}\n" in text
    assert "  receipt no id at -\n" in text
    assert "  refused user ghost (invaliduser, 0)\n" in text
    assert text.endswith("  part j1-0: sent by account it\n  part j1-0: queued, limit is used up")


NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (JobState.PARTIAL, "partial"),
        (NOON, "2026-01-05T12:00:00+00:00"),
        ({"a": (NOON,), 1: JobState.OPEN}, {"a": ["2026-01-05T12:00:00+00:00"], "1": "open"}),
        (None, None),
    ],
)
def test_json_says_states_and_times_in_words(value: object, said: object) -> None:
    """A script reads no number it would have to look up."""
    assert said == to_json(value)


def test_the_tables_are_upgraded_and_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`db check` is 1 before and 0 after; a database without tables is one sentence with status 2."""
    monkeypatch.setenv("WORKER_DATABASE", f"sqlite:///{tmp_path}/empty.db")

    assert [run("jobs"), run("db", "check"), run("db", "upgrade"), run("db", "check")] == [2, 1, 0, 0]
    assert "worker db upgrade" in capsys.readouterr().err
    assert [run("db", "downgrade", "base", "--yes"), run("db", "check"), run("db", "downgrade", "9999")] == [0, 1, 2]


def a_worker(version: str, revision: str) -> None:
    """A living process of another release."""
    engine = make_engine(load_settings().database_url())
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "insert into worker_processes (id, alive_until, started_at, threads, host, pid, lanes, version, revision)"
            " values ('p', 9000000000000000, 0, 8, 'delivery-1', 7, '{}', ?, ?)",
            (version, revision),
        )
    engine.dispose()


def test_the_releases_of_living_workers_are_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`db check` is 0 only when the tables and all workers are at this release."""
    assert run("db", "check") == 0
    a_worker("0.0.9", "0002")
    capsys.readouterr()

    assert run("db", "check") == 1
    told = capsys.readouterr().out
    assert run("db", "check", "--json") == 1
    found = json.loads(capsys.readouterr().out)

    assert (
        "worker delivery-1 7: another release, which may run beside this one; all queues; 0.0.9, revision 0002" in told
    )
    [process] = found["processes"]
    assert tuple(process[name] for name in ("host", "pid", "version", "revision", "compatibility")) == (
        "delivery-1",
        7,
        "0.0.9",
        "0002",
        "other",
    )
    monkeypatch.setenv("WORKER_DATABASE", f"sqlite:///{tmp_path}/empty.db")
    assert run("db", "check") == 1


def test_the_tables_of_a_living_worker_are_not_taken_from_it(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Older than it knows how to use; one that can use them is no obstacle."""
    a_worker("0.0.9", "0002")

    assert [run("db", "downgrade", "0001"), run("db", "downgrade", "base")] == [2, 2]
    told = capsys.readouterr().err
    assert (
        "the worker delivery-1 7 (all queues; 0.0.9, revision 0002) could not use its tables at revision 0001" in told
    )
    with sqlite_engine(load_settings().database_url()).begin() as connection:
        connection.exec_driver_sql("update worker_processes set revision = '0001'")
    assert run("db", "downgrade", "0001") == 0


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("sqlite:////nowhere/at/all/worker.db", 1, "create its folder"),
        ("postgresql://127.0.0.1:1/worker", 1, "the server cannot be reached"),
        ("mysql://127.0.0.1:1/worker", 1, "the server cannot be reached"),
        ("postgresql+nodriver://127.0.0.1/worker", 2, "write postgresql+psycopg://"),
        ("mysql+mysqldb://127.0.0.1/worker", 2, "write mysql+pymysql://"),
        ("oracle://127.0.0.1/worker", 2, "oracle is not supported"),
    ],
)
def test_a_database_fault_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str, status: int, words: str
) -> None:
    """Which of folder, server and driver is wrong, in one line."""
    monkeypatch.setenv("WORKER_DATABASE", url)

    assert status == run("jobs")

    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    "server",
    [pytest.param("postgres_url", marks=pytest.mark.postgres), pytest.param("mariadb_url", marks=pytest.mark.mariadb)],
)
def test_a_missing_database_is_named(
    run: Run,
    server: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """PostgreSQL gives no SQLSTATE for it, but says so in words; MariaDB's number tells it."""
    url = (
        make_url(request.getfixturevalue(server)).set(database="no_such_database").render_as_string(hide_password=False)
    )
    monkeypatch.setenv("WORKER_DATABASE", url)

    assert run("jobs") == 1
    assert "the database does not exist" in capsys.readouterr().err


def test_up_waits_for_a_locked_database(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a worker waits later, when a long transaction of a producer holds the file."""
    locked = [OperationalError("begin", None, sqlite3.OperationalError("database is locked")) for _ in range(2)]

    def upgrade() -> None:
        if locked:
            raise locked.pop()

    monkeypatch.setattr("worker.cli.running.upgrade_tables", upgrade)
    monkeypatch.setattr("worker.service.celery_app.make_app", lambda settings: None)
    monkeypatch.setattr("worker.service.celery_app.start_worker", lambda *_, **__: 0)

    assert run("up") == 0
    said = capsys.readouterr().err.splitlines()
    assert said.count("worker: another process keeps the database locked; waiting for it") == 2


HR = {"channel": "wecom_app", "corpid": "ww1", "agentid": 7}
UNREADABLE = (
    "account hr cannot be used: accounts.hr.secret names environment variable NO_SECRET, which is empty or not there; "
    "set it, or write it into HERE/.env"
)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, ["no account is configured; add [accounts.NAME] to /etc/worker.toml, or run `worker accounts add NAME`"]),
        ({"accounts": {"hr": HR}}, []),
        ({"accounts": {"hr": {**HR, "secret": {"env": "NO_SECRET"}}}}, [UNREADABLE]),
        (
            {"accounts": {"hr": {"channel": "wecom_app"}}, "broker": "redis://h/0"},
            [
                "`worker up` uses a broker in memory; the broker of the settings is for `celery ... worker`",
                "account hr cannot be used: accounts.hr.corpid: is missing or not a text; add the corp's id (企业ID),"
                " such"
                " as ww0123456789abcdef; accounts.hr.agentid: is missing or not an integer; add the app's AgentId, such"
                " as 1000002",
            ],
        ),
    ],
)
def test_up_says_what_may_surprise(settings: dict[str, Any], said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One line each: no account yet, whose secret cannot be read, and a broker it does not use."""
    monkeypatch.setenv("WORKER_CONFIG", "/etc/worker.toml")

    assert [hint.replace(str(Path.cwd()), "HERE") for hint in hints(Settings(**settings))] == said


@pytest.mark.slow("starts a worker")
def test_up_ends_with_0_at_ctrl_c(tmp_path: Path) -> None:
    """An idle worker takes SIGINT like SIGTERM: it drains, says nothing of a second Ctrl-C, and all was well."""
    environment = {**os.environ, "WORKER_DATABASE": f"sqlite:///{tmp_path}/worker.db"}
    environment.pop("WORKER_CONFIG", None)
    said: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", "worker.cli", "up", "--threads", "2"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "worker_started" in line:
                process.send_signal(signal.SIGINT)
        status = process.wait(120)

    text = "".join(said)
    assert status == 0
    assert "worker_drained" in text
    assert "Hitting Ctrl+C" not in text
    assert "no account is configured" in text


def test_an_errcode_is_explained(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """In English and in Chinese; an unknown one is one sentence and status 1."""
    assert [run("explain", "60020"), run("explain", "60020", "--lang", "zh"), run("explain", "99")] == [0, 0, 1]
    assert run("explain", "-1") == 0

    out, err = capsys.readouterr()

    assert "do: add the IP to the app's trusted IPs" in out
    assert "处理：将该 IP 加入应用的企业可信IP" in out
    assert "99 is not in the catalogue" in err


def test_chats_are_listed(run: Run, sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Those we are in, the last seen first; with --gone the others too; by account; as JSON with instants in words."""
    database = Database(make_engine(sqlite_url))
    with database.writing() as connection:
        seen = {"account": "alerts", "person": None, "first_seen_at": 1, "gone_at": None, "allowance": 0}
        rows = [
            {**seen, "chat_id": "wr1", "chat_type": "group", "last_seen_at": 2_000_000},
            {
                **seen,
                "chat_id": "wo1",
                "chat_type": "single",
                "last_seen_at": 3_000_000,
                "person": "li",
                "allowance": 2,
            },
            {**seen, "chat_id": "wr2", "chat_type": "group", "last_seen_at": 4_000_000, "gone_at": 5_000_000},
        ]
        insert_rows(connection, tables.chats, rows)
    database.close()

    run("inbound", "--chats")
    here = capsys.readouterr().out.splitlines()
    run("inbound", "--chats", "--gone", "--json", "--account", "alerts")
    everywhere = json.loads(capsys.readouterr().out)
    run("inbound", "--chats", "--account", "hr")

    assert "no chats" in capsys.readouterr().out
    assert [line.split()[0] for line in here] == ["CHAT", "wo1", "wr1"]
    assert "of li, messages still allowed: 2" in here[1]
    assert [chat["chat_id"] for chat in everywhere] == ["wr2", "wo1", "wr1"]
    assert everywhere[0]["gone_at"] == "1970-01-01T00:00:05.000+00:00"


def test_the_counts_of_a_mailing_stand_below_each_other_in_both_languages(
    run: Run, job: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One job is no jobs; a Chinese noun has one form."""
    run("mailing", job)
    english = capsys.readouterr().out.splitlines()
    monkeypatch.setenv("WORKER_LANG", "zh")
    run("mailing", job)
    chinese = capsys.readouterr().out.splitlines()

    assert f"in flight {0:>9} jobs {0:>9} parts {0:>9} recipients" == english[1]
    assert [line.index("job") for line in english] == [english[0].index("job")] * len(english)
    assert f"待发送    {1:>9} 个任务 {1:>9} 个分片 {1:>9} 个接收方" == chinese[0]


def test_a_mailing_is_counted_as_one_thing(run: Run, job: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As a table with every stage, and as JSON; a filter that says nothing is refused."""
    table, as_json, nothing = run("mailing", "--account", "hr"), run("mailing", job, "--json"), run("mailing")

    printed = capsys.readouterr()
    *lines, document = printed.out.splitlines()
    assert (table, as_json, nothing) == (0, 0, 1)
    assert f"waiting   {1:>9} job  {1:>9} part  {1:>9} recipient" == lines[0]
    assert f"total     {1:>9} job  {1:>9} part  {1:>9} recipient" == lines[-1]
    assert len(lines) == 9
    assert json.loads(document)["stages"]["waiting"] == {"jobs": 1, "parts": 1, "recipients": 1}
    assert "filter: has no content" in printed.err
