"""Every `worker` command that a page names is one that the program takes; those of the operators' pages are typed."""

from __future__ import annotations

import io
import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from tests.docs.page import Block, Page, pages
from worker import Text, To, enqueue_many
from worker.accounts.sources import accounts_of
from worker.cli import main
from worker.cli.commands import every_command
from worker.config.settings import load_settings
from worker.domain.job import part_id
from worker.domain.outcome import Accepted, CallReceipt, Partial, Refusal, Rejected, Unknown, Verdict
from worker.domain.settle import Policy
from worker.outbox.commit.commands import CallEnd, Mark
from worker.outbox.commit.group_commit import commit
from worker.outbox.engine.database import Database, make_engine
from worker.producer.enqueue import NewJob

JOB = "01a1fee038207503ab8c7613caccced8"
AUDIT = "01a20533e6f07c4f9d3c1a7be2f5a610"
NO_COMMAND = {"worker simulator"}
"""Its options are the simulator's own; tests/docs/test_simulator_docs.py holds that page."""
SHELLS = ("sh", "console")
ON_ONE = pytest.mark.fewer_databases("it is about the page")
PROGRAM = every_command()


def lines(block: Block) -> Iterator[list[str]]:
    """The words of each line of a block that runs `worker`, without what the shell does around it."""
    text = block.text.replace("\\\n", " ")
    typed = re.findall(r"^\$ (.*)$", text, re.MULTILINE) or text.splitlines()
    for line in typed:
        line = re.sub(r'"\$\(.*?\)"', "1", line)
        words = shlex.split(re.split(r" \d?[<>|&]", line)[0], comments=True)
        if words and words[0] == "worker":
            yield words[1:]


def of_blocks() -> Iterator[Any]:
    """Each command of a block, once."""
    told = {
        " ".join(words): words
        for page in pages()
        for one in page.blocks
        if one.language in SHELLS
        for words in lines(one)
    }
    yield from (pytest.param(words, id=line) for line, words in told.items() if f"worker {words[0]}" not in NO_COMMAND)


@pytest.mark.parametrize("words", [*of_blocks()])
def test_a_command_of_a_block_is_taken(words: list[str]) -> None:
    """With its arguments and options, as they are typed."""
    left, command = list(words), cast("Any", PROGRAM)
    while left and hasattr(command, "commands"):
        command = command.commands[left.pop(0)]

    context = command.make_context(command.name, left)

    assert context.args == []


def in_line() -> Iterator[tuple[str, str]]:
    """Page and text of every command inside a line of prose, in both languages."""
    for page in pages():
        text = re.sub(r"^```.*?^```$", "", page.text, flags=re.DOTALL | re.MULTILINE)
        for found in re.findall(r"`(worker [a-z][^`]*)`", text):
            yield page.name, " ".join(found.split())
        for group, others in re.findall(r"`(worker (?:accounts|db)) [a-z]+`((?:(?:, |、)`[a-z]+`)+)", text):
            yield from ((page.name, f"{group} {other}") for other in re.findall(r"[a-z]+", others))


def wrong(said: str) -> str | None:
    """The first word of a command in prose that the program does not know; arguments may be left out there."""
    command, before_options = cast("Any", PROGRAM), True
    for word in said.split()[1:]:
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        if before_options and hasattr(command, "commands") and re.fullmatch(r"[a-z][a-z-]*", word):
            if word not in command.commands:
                return word
            command = command.commands[word]
        elif re.fullmatch(r"--?[a-z-]*[a-z]", name := word.partition("=")[0]):
            before_options = False
            if name not in known:
                return word
    return None


def test_a_command_in_a_line_is_one_there_is() -> None:
    """Its words, and each of its options: what was renamed is not left behind on any page."""
    told = set(in_line())

    assert 300 < len(told)
    assert [f"{page}: {said}" for page, said in sorted(told) if wrong(said)] == []


def test_a_command_that_is_none_is_found() -> None:
    """A wrong word, a wrong option."""
    assert [wrong(f"worker {one}") for one in ("jbos", "jobs --stat", "jobs --state open")] == ["jbos", "--stat", None]


# -- typed ------------------------------------------------------------------------------------------------------------

Ends = Callable[..., Verdict]


class Operator:
    """An operator with an outbox of a few sends of a mailing, who types what a page shows."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        self._patch, self._capsys = monkeypatch, capsys
        settings = load_settings()
        self.database = Database(make_engine(settings.database_url()))
        self._accounts = accounts_of(settings)
        self._ids: dict[str, str] = {}

    def has(self, *ends: Verdict | None, users: Sequence[str] = ("zhangsan",)) -> list[str]:
        """A send for each: what its call ended with, None: it waits. The first is the page's job."""
        new = [
            NewJob("hr", Text(content=f"{n}"), To(users=list(users)), tags=["autumn-mailing"])
            for n, _ in enumerate(ends)
        ]
        with self.database.writing() as connection:
            ids = [ref.id for ref in enqueue_many(connection, new, accounts=self._accounts)]
        for job, verdict in zip(ids, ends, strict=True):
            if verdict is not None:
                commit(self.database, [Mark(part_id(job, 0), 0, "p", 1_000_000)], Policy())
                commit(self.database, [CallEnd(part_id(job, 0), 1, "p", verdict, 5)], Policy())
        self._ids[JOB] = ids[0]
        return ids

    def types(self, words: Sequence[str], answers: str = "y\n") -> str:
        """Runs one command in this process; it has to end well, or find nothing. Returns what it printed."""
        mine = [re.sub(r"\b[0-9a-f]{32}\b", lambda found: self._ids.get(found[0], found[0]), word) for word in words]
        self._patch.setattr(sys, "argv", ["worker", *mine])
        self._patch.setattr(sys, "stdin", io.StringIO(answers))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = self._capsys.readouterr()
        found_none = printed.err.startswith("no job that is stored has --")
        assert not ended.value.code or found_none, (mine, printed.out + printed.err)
        if found := re.search(r"audit ([0-9a-f]{32})", printed.out):
            self._ids[AUDIT] = found[1]
        return str(printed.out)

    def follows(self, page: str, heading: str) -> list[str]:
        """Types the commands of the first block below a heading; what each printed."""
        section = Page(page).text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
        (block, *_) = [one for one in Page(page).blocks if one.text in section and one.language in SHELLS]
        return [self.types(words) for words in lines(block)]

    def states(self) -> list[str]:
        """Of all jobs but the follow-ups, sorted."""
        listed = json.loads(self.types(["jobs", "--json"]))["jobs"]
        return sorted(job["state"] for job in listed if job["kind"] == "send")


TAKEN, REFUSED, DOUBT = Verdict(Accepted(CallReceipt("m1"))), Verdict(Rejected("no")), Verdict(Unknown("cut"))


@pytest.fixture
def operator(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Operator]:
    """At a terminal, with settings of one account."""
    path = tmp_path / "worker.toml"
    path.write_text(
        f'database = "{sqlite_url}"\n[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 1\n'
        'secret = { env = "HR_SECRET" }\n',
        encoding="utf-8",
    )
    monkeypatch.setenv("WORKER_CONFIG", str(path))
    monkeypatch.setenv("HR_SECRET", "s")
    one = Operator(tmp_path, monkeypatch, capsys)
    yield one
    one.database.close()


@ON_ONE
def test_jobs_are_found(operator: Operator) -> None:
    """By state and by recipient; a msgid and a hash that no job has find none."""
    (job,) = operator.has(DOUBT)

    by_state, by_recipient, by_msgid, by_hash = operator.follows("docs/operations.md", "Find a job")

    assert job in by_state
    assert job in by_recipient
    assert job not in by_msgid + by_hash


REFUSING = Verdict(Partial(CallReceipt("m2"), (Refusal("ghost-lisi", "user", "invaliduser"),)))


@ON_ONE
@pytest.mark.parametrize(("folder", "lang"), [("docs", "en"), ("docs/zh", "zh")])
def test_the_five_questions_are_answered_as_shown(
    folder: str, lang: str, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word, but for ids and times, and for the lines that dots stand for."""
    monkeypatch.setenv("WORKER_LANG", lang)
    blocks = [*Page(f"{folder}/states.md").blocks_in("console"), *Page(f"{folder}/operations.md").blocks_in("console")]
    blocks = [block for block in blocks if re.match(r"\$ worker (show|recall|jobs)", block.text)]
    ends = [(TAKEN, ["zhangsan"]), (REFUSING, ["zhangsan", "ghost-lisi"]), (TAKEN, ["zhangsan"]), (DOUBT, ["zhangsan"])]

    for block, (end, users) in zip(blocks, ends, strict=True):
        operator.has(end, users=users)
        (typed,) = lines(block)
        printed = without_ids(operator.types(typed))
        for piece in without_ids(block.text.partition("\n")[2]).split("  ...\n"):
            assert piece in printed


def without_ids(text: str) -> str:
    """The text with the same id and the same time everywhere."""
    return re.sub(r"\b\d{4}-\d\d-\d\dT[\d:.+]+", "TIME", re.sub(r"\b[0-9a-f]{32}\b", "ID", text))


@ON_ONE
def test_a_mailing_is_cancelled_and_taken_back(operator: Operator) -> None:
    """What waits is cancelled, what was accepted is recalled."""
    operator.has(None, None, TAKEN)

    operator.follows("docs/operations.md", "Cancel")

    assert operator.states() == ["accepted", "cancelled", "cancelled"]
    assert [job["kind"] for job in json.loads(operator.types(["jobs", "--json", "--kind", "recall"]))["jobs"]] == [
        "recall"
    ]


@ON_ONE
def test_a_mailing_is_paused_and_a_job_held(operator: Operator) -> None:
    """And let go again: each command leaves its row, and the job waits as before."""
    operator.has(None)

    operator.follows("docs/operations.md", "Pause")

    acts = [row["action"] for row in json.loads(operator.types(["audit", "--json"]))]
    assert sorted(acts) == ["pause", "pause_jobs", "resume", "resume_jobs"]
    assert operator.states() == ["open"]


@ON_ONE
def test_doubt_is_decided(operator: Operator) -> None:
    """One was sent, those of a time were not."""
    _, second = operator.has(DOUBT, DOUBT)
    with operator.database.writing() as connection:
        called = 1_795_284_600_000_000  # within the page's twenty minutes
        connection.exec_driver_sql("update worker_parts set marked_at = ? where job_id = ?", (called, second))
        connection.exec_driver_sql("update worker_parts set not_before = null")

    operator.follows("docs/operations.md", "Parts in doubt")

    assert operator.states() == ["accepted", "rejected"]


@ON_ONE
def test_a_restored_backup_is_fenced(operator: Operator) -> None:
    """What was enqueued before it is held in doubt, and listed."""
    (job,) = operator.has(None)
    with operator.database.writing() as connection:
        connection.exec_driver_sql("update worker_jobs set created_at = created_at - 86400000000 * 400")

    _, listed = operator.follows("docs/operations.md", "A restored backup")

    assert job in listed


@ON_ONE
def test_refused_jobs_are_replayed(operator: Operator) -> None:
    """One by its id, those of an account by a filter, and a run is gone on with."""
    operator.has(REFUSED, REFUSED, REFUSED)

    operator.follows("docs/operations.md", "Replay")

    assert operator.states() == ["open"] * 3 + ["rejected"] * 3


@ON_ONE
def test_one_person_is_told_and_erased(operator: Operator) -> None:
    """What was sent is exported first, and what waits is cancelled; afterwards no job is found by it."""
    jobs = operator.has(TAKEN, None)

    exported, *_ = operator.follows("docs/personal-data.md", "One person")

    assert sorted(jobs) == sorted(json.loads(line)["id"] for line in exported.splitlines())
    assert json.loads(operator.types(["jobs", "--json", "--recipient", "zhangsan"]))["jobs"] == []


@ON_ONE
@pytest.mark.parametrize(("page", "lang"), [("docs/accounts.md", "en"), ("docs/zh/accounts.md", "zh")])
def test_an_account_is_added_to_the_outbox(
    page: str, lang: str, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the lines that the page puts in, and it says what the page shows, in the page's language."""
    (block,) = Page(page).blocks_in("console")
    monkeypatch.setenv("WORKER_LANG", lang)
    (typed,) = lines(block)
    given, shown = block.text.partition("<<'EOF'\n")[2].split("EOF\n")
    monkeypatch.setenv("WORKER_SEAL_KEY", "0" * 64)

    printed = operator.types(typed, given)

    assert shown == printed
