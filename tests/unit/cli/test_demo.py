"""The demo: once as a whole, and what it says and does when something is not as stated."""

from __future__ import annotations

import doctest
import importlib
import inspect
import io
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.docs.page import Page
from tests.support.control import control
from tests.support.runtime import an_account
from worker import Text, To, enqueue
from worker.config.accounts import FixedAccounts
from worker.language import term
from worker.outbox.engine.database import make_engine
from worker_simulator import demo
from worker_simulator.demo import channels, stage
from worker_simulator.demo.application import ROLLED_BACK
from worker_simulator.demo.board import Board
from worker_simulator.demo.checks import Outcome, checks, print_jobs, print_verdict
from worker_simulator.demo.stage import DemoStage, StageFailed


def noted(patch: pytest.MonkeyPatch, instead: Sequence[str] = ()) -> list[subprocess.Popen[str]]:
    """The processes that are started from now on; `instead`: all of them with this command."""
    started: list[subprocess.Popen[str]] = []
    start = subprocess.Popen

    def starting(command: Sequence[str], **options: Any) -> subprocess.Popen[str]:
        started.append(start(instead or command, **options))
        return started[-1]

    patch.setattr(subprocess, "Popen", starting)
    return started


@pytest.fixture(scope="module")
def played() -> tuple[int, str, Outcome, list[subprocess.Popen[str]]]:
    """The whole demo, played once: status, output, what came out, and its processes."""
    before = signal.getsignal(signal.SIGTERM)
    screen, outcomes, printed = io.StringIO(), [], print_jobs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "Console", lambda **options: Console(file=screen, width=200, **options))
        patch.setattr(demo, "print_jobs", lambda console, it: (outcomes.append(it), printed(console, it)))
        processes = noted(patch)
        status = demo.run()
    assert before is signal.getsignal(signal.SIGTERM)
    return status, screen.getvalue(), outcomes[0], processes


@pytest.mark.slow("plays the whole demo")
def test_the_demo_ends_as_stated(played: tuple[int, str, Outcome, Any]) -> None:
    """Without a terminal: every move is a line, every check holds, the status is 0."""
    status, output, _, _ = played

    assert status == 0, output
    assert output.rstrip().endswith("demo: every job ended as stated")
    assert "NOT" not in output
    for name, state in (("text", "partial"), ("image", "accepted"), ("recall", "accepted"), ("later", "accepted")):
        assert re.search(rf"^ *\d+\.\d\d s  {name} +{state}", output, re.M)
    assert "ghost-anna: nothing (does not exist)" in output
    assert "The canteen closes at 14:00 today. (recalled)" in output
    assert "its buttons now say 'approved'" in output
    assert "pressed: key approve by person0001" in output
    assert "hook done: card_action" in output


@pytest.mark.slow("plays the whole demo")
def test_the_readme_shows_what_the_demo_prints(played: tuple[int, str, Outcome, Any]) -> None:
    """Under `make demo`, with three dots for what it leaves out."""
    _, output, _, _ = played
    shown = Page("README.md").blocks_in("console")[0].text

    assert doctest.OutputChecker().check_output(shown, f"$ make demo\n{output}", doctest.ELLIPSIS)


@pytest.mark.slow("plays the whole demo")
def test_the_chinese_readme_shows_the_verdict(
    played: tuple[int, str, Outcome, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same checks in Chinese."""
    monkeypatch.setenv("WORKER_LANG", "zh")
    screen, shown = io.StringIO(), Page("README.zh-CN.md").blocks_in("console")[0].text

    print_verdict(Console(file=screen, width=200), checks(played[2]))

    assert doctest.OutputChecker().check_output(shown, f"$ make demo\n{screen.getvalue()}", doctest.ELLIPSIS)


@pytest.mark.slow("plays the whole demo")
def test_every_row_of_every_channel_ends_as_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the row that ends nowhere: its lane is parked, and the table says what a person has to do."""
    screen = io.StringIO()
    monkeypatch.setattr(demo, "Console", lambda **options: Console(file=screen, width=400, **options))

    status = demo.run_all_channels()

    output = screen.getvalue()
    assert status == 0, output
    done, rows = re.findall(r"^demo: (\d+) of (\d+) ended as stated$", output, re.M)[0]
    assert done == rows
    assert re.search(r"sysMsg through the wrong app +│ parked .*invalid appId.*; correct appid", output)


@pytest.mark.slow("plays the whole demo")
def test_the_demo_leaves_nothing_behind(played: tuple[int, str, Outcome, list[subprocess.Popen[str]]]) -> None:
    """The worker, the receiver and the fake WeCom have ended."""
    processes = played[3]

    assert [process.poll() is not None for process in processes] == [True] * 3


@pytest.mark.slow("plays the whole demo")
def test_the_demo_says_where_its_inbox_is(played: tuple[int, str, Outcome, Any]) -> None:
    """The address of the page, which ends with the demo."""
    assert re.match(r"inbox: http://127\.0\.0\.1:\d+/  \(worker demo --stay keeps it open\)\n", played[1])


@pytest.mark.slow("plays the whole demo")
def test_a_demo_that_stays_has_a_card_to_press_until_it_is_ended() -> None:
    """The press is taken, the hook updates the card, a reply has it recalled; Ctrl-C ends everything with 0."""
    command = [sys.executable, "-m", "worker.cli", "demo", "--stay"]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a script's `&` starts its programs so, and theirs
        signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = []
        for line in process.stdout:
            said.append(line)
            if "Ctrl-C ends" in line:
                break
        address = re.search(r"(http://\S+)/\?at=app%3Aww-demo%252F1000002%3Aperson0001\n", "".join(said))
        assert address, said
        story = _clicked_through(address[1])
        process.send_signal(signal.SIGINT)
        end, status = process.stdout.read(), process.wait(120)

    assert status == 0
    assert end == "demo: ended\n"
    assert story == "approved"


def _clicked_through(vendor: str) -> str:
    """Presses the open card, waits for the hook's update, writes the withdrawal and waits for the recall."""

    def card() -> dict[str, Any]:
        seen = control(vendor, "inbox?user=person0001")["messages"]
        return next(one for one in reversed(seen) if one["msgtype"] == "template_card")

    def act(name: str, **what: Any) -> None:
        control(vendor, name, {"person": "person0001", **what})

    _once(lambda: card()["update"] is None)
    act("press", key="approve", msgid=card()["msgid"])
    says = str(_once(lambda: card()["update"])["replace_name"])
    act("app", act="message", corpid="ww-demo", agentid=1000002, text="Withdraw")
    _once(lambda: card()["state"] == "recalled")
    return says


def _once(seen: Callable[[], Any]) -> Any:
    """What is seen once there is something to see."""
    deadline = time.monotonic() + 60
    while not (found := seen()):
        assert time.monotonic() < deadline, "did not happen"
    return found


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda it: replace(it, inbox={}), "everyone who exists saw the text once"),
        (lambda it: replace(it, rows=7), "the application kept its own six rows, one of them a hook's, and no seventh"),
        (lambda it: replace(it, callbacks=[]), "an approver pressed once, and the receiver took it at once"),
        (lambda it: replace(it, timelines={**it.timelines, "card": []}), "the card's timeline tells all of it"),
        (lambda it: replace(it, due_at=None), "the scheduled text went out once, not before its time"),
        (
            lambda it: replace(it, calls=[*it.calls, {"path": "", "body": ROLLED_BACK}]),
            "the rolled-back transaction sent nothing",
        ),
        (
            lambda it: replace(it, violations={**it.violations, "duplicates": ["twice"]}),
            "no limit was overstepped, nobody saw anything twice",
        ),
        (lambda it: replace(it, all_jobs=[]), "the image was uploaded once and sent"),
    ],
)
@pytest.mark.slow("plays the whole demo")
def test_what_is_not_as_stated_is_said(
    played: tuple[int, str, Outcome, Any], change: Callable[[Outcome], Outcome], sentence: str
) -> None:
    """The sentence that does not hold is marked, and the verdict is no."""
    screen = io.StringIO()

    passed = print_verdict(Console(file=screen, width=200), checks(change(played[2])))

    assert not passed
    assert f"  NOT  {sentence}\n" in screen.getvalue()
    assert screen.getvalue().endswith("demo: NOT as stated\n")


def test_the_verdict_is_in_the_language_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """A check and the verdict, in Chinese."""
    monkeypatch.setenv("WORKER_LANG", "zh")
    screen = io.StringIO()

    print_verdict(Console(file=screen, width=200), [("nothing is left to do", True)])

    lines = ["", "与说明是否一致？", "  ok   没有未结束的任务", "演示：每个任务的结果都与说明一致", ""]
    assert lines == screen.getvalue().split("\n")


def test_the_table_of_all_channels_is_in_the_language_of_the_person(monkeypatch: pytest.MonkeyPatch) -> None:
    """Headings, states, reasons and the name of every row; vendor names stay."""
    monkeypatch.setenv("WORKER_LANG", "zh")
    rows = [row for channel in channels.CHANNELS for row in channel.rows()]
    screen = io.StringIO()
    results = [channels.RowResult(rows[0], "accepted", frozenset(), "no answer")]

    Console(file=screen, width=200).print(channels.results_table(results))

    cells = [cell.strip() for cell in screen.getvalue().split("│")]
    assert cells[1:6] == ["wecom_app", "text", "已受理", "是", "没有响应"]
    assert [row.what for row in rows if " " in row.what and row.what == term("demo", row.what)] == []


def test_a_stage_that_fails_is_status_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A simulator that does not come up is one sentence, and nothing stays behind."""
    monkeypatch.setattr(stage, "VENDOR", "no JSON and no file")
    started = noted(monkeypatch)

    assert demo.run() == 1
    output = capsys.readouterr().out
    assert "`worker simulator` did not start; its log ends:" in output
    assert "no JSON and no file" in output
    assert [process.poll() is not None for process in started] == [True]


def test_a_worker_that_ended_early_is_told_with_its_log(tmp_path: Path) -> None:
    """Its status and the end of its log."""
    (tmp_path / "up.log").write_text("x" * 5000 + "the last words", encoding="utf-8")
    with _child("raise SystemExit(3)") as process:
        process.wait(120)
        on = DemoStage(tmp_path, "http://127.0.0.1:1", None, FixedAccounts([]), {"up": process})  # type: ignore[arg-type]

        with pytest.raises(StageFailed, match="status 3") as failed:
            on.require_alive()

    assert str(failed.value).endswith("the last words")
    assert 2200 > len(str(failed.value))


def test_a_process_that_will_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while, so that the demo always ends."""
    monkeypatch.setattr(stage, "END_S", 0.1)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    started = noted(monkeypatch, [sys.executable, "-c", code])

    with pytest.raises(StageFailed, match="did not start"), DemoStage.built("", receiver=False):
        pass

    assert [-signal.SIGKILL] == [process.returncode for process in started]


@pytest.mark.parametrize("place", ["environment", ".env"])
def test_a_demo_leaves_the_persons_own_outbox_alone(
    place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whatever variables name it where the demo is started, for its own process and for those that it starts."""
    monkeypatch.chdir(tmp_path)
    if place == "environment":
        monkeypatch.setenv("WORKER_DATABASE", "sqlite:///own.db")
    else:
        (tmp_path / ".env").write_text("WORKER_DATABASE=sqlite:///own.db\n", encoding="utf-8")
    code = "import os, signal; print(f'it is on http://{os.getcwd()}', flush=True); signal.pause()"
    noted(monkeypatch, [sys.executable, "-c", code])

    with DemoStage.built(stage.SETTINGS, receiver=False) as built:
        used = built.engine.url.database

    assert used == f"{built.folder}/demo.db"
    assert built.vendor == f"http://{built.folder}"
    assert not (tmp_path / "own.db").exists()


def test_a_sigterm_unwinds_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is left behind: the exit comes as an exception, and the handler is put back."""
    before = signal.getsignal(signal.SIGTERM)
    unwound: list[bool] = []

    @contextmanager
    def built(settings_text: str, *, receiver: bool) -> Iterator[None]:
        try:
            signal.raise_signal(signal.SIGTERM)
            yield
        finally:
            unwound.append(True)

    monkeypatch.setattr(DemoStage, "built", built)

    with pytest.raises(SystemExit) as ended:
        demo.run()

    assert 128 + signal.SIGTERM == ended.value.code
    assert unwound == [True]
    assert before is signal.getsignal(signal.SIGTERM)


def test_the_board_is_a_live_table_on_a_terminal(sqlite_url: str) -> None:
    """And a job that does not end in time fails the stage by its name."""
    engine, account = make_engine(sqlite_url), an_account()
    with engine.begin() as connection:
        job = enqueue(connection, "hr", Text(content="x"), To(users=["a"]), accounts=FixedAccounts([account])).id
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)

    with (
        Board(engine, console, {"greeting": job}) as board,
        pytest.raises(StageFailed, match="did not happen within 0 s: every one of greeting ends"),
    ):
        board.until_ended(["greeting"], lambda: None, 0.0)
    engine.dispose()

    assert "worker demo" in screen.getvalue()
    assert "open: queued" in screen.getvalue()
    assert "0 of 1, 0 refused" in screen.getvalue()


@pytest.mark.parametrize("name", ["wecom_app", "wecom_webhook", "youdu"])
def test_every_message_type_is_shown(name: str) -> None:
    """A message class of the channel has a row in `worker demo --all-channels`."""
    channel = importlib.import_module(f"worker.channels.{name}")
    shown = importlib.import_module(f"worker_simulator.demo.channels.{name}").MESSAGES.values()
    used = {type(part) for entry in shown for part in (entry if isinstance(entry, tuple) else (entry,))}

    assert {name for name, one in vars(channel).items() if _is_message(one) and one not in used} == set()


def _is_message(one: object) -> bool:
    return inspect.isclass(one) and hasattr(one, "msgtype")


def _child(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
