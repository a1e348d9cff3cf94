"""`worker send`, `upload`, `update-card`: jobs out of a shell; and `worker jobs`, which lists or counts them all."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from worker.cli import main
from worker.domain.state import JobState

Run = Callable[..., int]
TEXT = ("send", "hr", "--text", "hello", "--to", "zhangsan", "--to", "lisi")
BODY = json.dumps({"msgtype": "markdown", "markdown": {"content": "# hi"}, "touser": "anna|bob"})
CARD = {
    "msgtype": "template_card",
    "touser": "anna",
    "template_card": {
        "card_type": "button_interaction",
        "main_title": {"title": "leave"},
        "button_list": [{"text": "ok", "key": "ok"}],
        "task_id": "leave-1",
    },
}


def jobs(run: Run, capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert run("jobs", "--all", "--json", *words) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_text_is_sent_from_options(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Its id is all that is printed; who gave it stands in the audit, and that a key's second job is none."""
    more = ("--tag", "a", "--tag", "b", "--priority", "bulk", "--dedupe-key", "k", "--due-at", "2030-01-01T00:00:00Z")
    more += ("--on-unknown", "hold", "--quiet-hours", "none")
    assert [run(*TEXT, *more, "--as", "zhang"), run(*TEXT, *more, "--json")] == [0, 0]
    first, again = capsys.readouterr().out.splitlines()
    assert json.loads(again) == {"job": first}, "the same key and content"
    [job] = jobs(run, capsys)
    assert (first, 2, ["a", "b"], "send") == (job["id"], job["asked"], job["tags"], job["kind"])
    assert job["due_at"] == "2030-01-01T00:00:00+00:00"
    run("audit", "--json")
    audit = json.loads(capsys.readouterr().out)
    assert [(one["action"], one["counts"]) for one in audit] == [("send", {"jobs": 0}), ("send", {"jobs": 1})]
    assert "zhangsan" not in json.dumps(audit)


def test_a_time_without_a_zone_is_said_as_it_was_understood(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the result; a text that is the same instant everywhere needs no words, and no zone at all is refused."""
    monkeypatch.setenv("TZ", "CST-8")
    due = ("2030-01-02 22:00", "2030-01-02T22:00:00+08:00", "2h")
    said = [(run(*TEXT, "--due-at", typed), capsys.readouterr().err) for typed in due]
    monkeypatch.setenv("TZ", "Asia/Beijing")

    status = run(*TEXT, "--due-at", due[0])

    assert [(0, f"{due[0]} is 2030-01-02 22:00:00 +08:00\n"), (0, ""), (0, "")] == said
    assert status == 2
    assert "TZ=Asia/Beijing names no time zone" in capsys.readouterr().err


def test_a_send_waits_for_its_end_and_shows_it(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 0 only for a job that was accepted."""
    ends = iter([JobState.ACCEPTED, JobState.PARTIAL])
    monkeypatch.setattr("worker.cli.sending.wait_until_ended", lambda *_: SimpleNamespace(state=next(ends)))

    statuses = [run(*TEXT, "--wait"), run(*TEXT, "--wait", "--json")]

    shown, as_json = capsys.readouterr().out.rstrip().rsplit("\n", 1)
    assert statuses == [0, 1]
    assert "  2 recipients: accepted 0" in shown
    assert json.loads(as_json)["asked"] == 2


def test_a_send_that_waited_in_vain_says_where_to_look(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """No worker is alive: the job is open, and stays enqueued."""
    status = run(*TEXT, "--wait", "--timeout", "0")

    printed = capsys.readouterr()
    [job] = jobs(run, capsys)
    assert status == 1
    assert job["state"] == "open"
    assert f"job {job['id']}: send on account hr is open" in printed.out
    assert f"`worker why {job['id']}`" in printed.err


def test_the_vendors_json_comes_as_an_argument_or_on_stdin(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Its recipients, unless others are named."""
    assert run("send", "hr", BODY) == 0
    assert run("send", "hr", "-", "--to", "carl", types=BODY) == 0
    assert [job["asked"] for job in jobs(run, capsys)] == [1, 2]


@pytest.mark.parametrize("to", [["anna|bob"], ["anna,bob"], ["anna，bob"], ["anna, ", "bob"]])
def test_several_recipients_in_one_word(run: Run, capsys: pytest.CaptureFixture[str], to: list[str]) -> None:
    """As the vendor writes them, or as people do."""
    assert run("send", "hr", "--text", "hello", *(word for one in to for word in ("--to", one))) == 0
    assert [job["asked"] for job in jobs(run, capsys)] == [2]


def test_an_all_is_a_person(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Who means everyone hears it."""
    assert run("send", "hr", "--text", "hello", "--to", "all") == 0
    assert capsys.readouterr().err == "touser: all is the userid of a member; a broadcast is Everyone()\n"


def test_json_of_an_unknown_type_is_sent_when_that_is_meant(run: Run) -> None:
    """A typing mistake is not."""
    body = '{"msgtype": "brand_new", "touser": "anna", "brand_new": {"x": 1}}'

    assert [run("send", "hr", body), run("send", "hr", body, "--raw")] == [1, 0]


def test_json_in_another_encoding_is_one_sentence(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of GBK on stdin, as an editor on Windows writes it."""
    typed = '{"msgtype": "text", "touser": "anna", "text": {"content": "你好"}}'.encode("gbk")
    monkeypatch.setattr(sys, "argv", ["worker", "send", "hr"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(typed), encoding="utf-8"))

    with pytest.raises(SystemExit) as ended:
        main()

    sentence = "worker: the message on stdin cannot be read as UTF-8 text; save it in this encoding\n"
    assert ended.value.code == 1
    assert capsys.readouterr().err == sentence


@pytest.mark.parametrize(
    ("lang", "told"),
    [("en", "safe: has no effect here, and is left out\n"), ("zh", "safe：此处的值不起作用，已略去\n")],
)
def test_what_is_left_out_of_the_json_is_said_in_a_sentence(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, lang: str, told: str
) -> None:
    """Beside the result, and without a line of the program."""
    monkeypatch.setenv("WORKER_LANG", lang)

    status = run("send", "hr", json.dumps({**json.loads(BODY), "safe": 0}))

    assert status == 0
    assert capsys.readouterr().err == told


def test_what_the_vendor_takes_otherwise_than_meant_is_said(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """At once, beside the job's id."""
    assert run("send", "hr", "--text", "hello $userName=anna$", "--to", "anna") == 0

    assert "shown as typed because enable_id_trans is not 1\n" in capsys.readouterr().err


def test_who_waits_where_no_worker_is_alive_hears_so(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the wait, and not only that the job is still open behind it."""
    assert run(*TEXT, "--wait", "--timeout", "0") == 1

    first, last = capsys.readouterr().err.splitlines()
    assert first == "no worker is alive, so the job waits; start `worker up` or the Procfile's lines"
    assert "the job is still open after 0 s" in last


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("send", "hr"), 1, "there is no message; give the vendor's JSON as an argument, - for stdin, or --text"),
        (("send", "hr", "-"), 1, "there is no message; give the vendor's JSON"),
        (("send", "hr", "{"), 1, "the message is not valid JSON"),
        (("send", "hr", "[]"), 1, "the message is not a JSON object"),
        (("send", "hr", "--text", "x"), 1, "there is no recipient"),
        (("send", "hr", "--text", r"one\ntwo", "--to", "a"), 2, r"holds \n as it was typed"),
        (("send", "hr", '{"msgtype": "textt", "textt": {}}'), 1, "did you mean text?"),
        (("send", "hr", "--text", "x", "--to", "@anna"), 1, "not beginning with @"),
        (("send", "hr", '{"msgtype": "voice", "voice": {"media_id": "m"}, "safe": 1}'), 1, "safe"),
        (("send", "hr", BODY, "--text", "x"), 2, "give either --text or JSON, not both"),
        (("update-card", "{}", "{}", "--account", "hr"), 2, "give either --account or a job, not both"),
        (("update-card",), 2, "name the job that sent the card"),
        (("recall", "--foreign", "m1"), 2, "--foreign needs --account and no other filter"),
        (
            ("recall", "--foreign", "m1", "--account", "hr", "--tag", "x"),
            2,
            "--foreign needs --account and no other filter",
        ),
        (("send", "no", "--text", "x", "--to", "a"), 2, "account 'no' does not exist"),
        (("send", "hr", "--text", "x" * 3_000, "--to", "a"), 1, "content"),
        (("send", "hr", "--text", "x", "--to", "a", "--quiet-hours", "at night"), 1, "quiet_hours"),
        (("send", "hr", "--text", "x", "--to", "a", "--on-unknown", "guess"), 1, "on_unknown"),
        (("upload", "hr", "nowhere.png"), 1, "nowhere.png cannot be read"),
        (("update-card", "0" * 32, '{"button": {"replace_name": "x"}}'), 1, "no job"),
        (("jobs", "--counts", "--created-from", "3600"), 2, "is a number without a unit"),
        (("jobs", "--counts", "--tag", "x"), 1, "tag: is not counted by"),
        (("jobs", "--counts", "--all"), 2, "--counts has no pages"),
        (("inbound", "--chats", "--type", "subscribe"), 2, "--chats lists chats: give no --type"),
        (("inbound", "--gone"), 2, "--gone needs --chats"),
    ],
)
def test_what_is_wrong_is_told(
    run: Run, words: tuple[str, ...], status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one sentence, and nothing is enqueued."""
    assert status == run(*words)
    assert told in " ".join(capsys.readouterr().err.split())
    assert jobs(run, capsys) == []


def test_a_file_is_uploaded_and_a_card_updated(run: Run, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Each prints the id of its job."""
    picture = tmp_path / "a.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(64))
    assert run("upload", "hr", str(picture), "--type", "image") == 0
    assert run("send", "hr", json.dumps(CARD)) == 0
    _, card = capsys.readouterr().out.splitlines()
    assert run("update-card", card, '{"atall": 0, "button": {"replace_name": "done"}}', "--to", "anna") == 0
    update = capsys.readouterr().out.strip()
    found = jobs(run, capsys)
    assert [job["kind"] for job in found] == ["update_card", "send", "upload"]
    assert (update, card) == (found[0]["id"], found[0]["target_job_id"])


def test_jobs_are_counted(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """By account, kind and state, since a day ago."""
    assert run(*TEXT) == 0
    assert run("send", "hr", BODY) == 0
    capsys.readouterr()
    assert [run("jobs", "--counts", *more) for more in ((), ("--json",), ("--account", "it"))] == [0, 0, 1]
    head, line, counts, none = capsys.readouterr().out.splitlines()
    assert head.split()[3:] == ["JOBS", "RECIPIENTS"]
    assert line.split() == ["hr", "send", "open", "2", "4"]
    assert json.loads(counts) == [{"account": "hr", "kind": "send", "state": "open", "jobs": 2, "asked": 4}]
    assert none.startswith("no jobs since ")


def test_jobs_before_a_time_are_those_of_the_day_before_it(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Not those of the last day that are before it, which are none as soon as it is more than a day ago."""
    assert run(*TEXT) == 0
    capsys.readouterr()
    for before in ("in 30h", "in 20h"):
        assert run("jobs", "--counts", "--created-before", before, "--json") == 0

    counts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert [[row["jobs"] for row in rows] for rows in counts] == [[], [1]]


def test_all_jobs_are_listed_page_by_page(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newest first, each once, by the filter of all commands."""
    for n in range(5):
        assert run("send", "hr", "--text", str(n), "--to", f"u{n % 2}") == 0
    ids = capsys.readouterr().out.splitlines()
    monkeypatch.setattr("worker.cli.lists.jobs.PAGE", 2)
    assert list(reversed(ids)) == [job["id"] for job in jobs(run, capsys)]
    assert [ids[4], ids[2], ids[0]] == [job["id"] for job in jobs(run, capsys, "--recipient", "U0")]
    assert jobs(run, capsys, "--state", "rejected") == []
    assert ids[1::-1] == [job["id"] for job in jobs(run, capsys, "--page-after", ids[2])]
    assert ids[3:] == [job["id"] for job in jobs(run, capsys, "--oldest-first", "--page-after", ids[2])]


def test_a_robot_posts_to_its_own_chat(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """Its text names no recipient, for there is only one place."""
    with Path(os.environ["WORKER_CONFIG"]).open("a", encoding="utf-8") as config:
        config.write('[accounts.robot]\nchannel = "wecom_webhook"\nedition = "robot"\nsecret = { env = "ROBOT" }\n')

    assert run("send", "robot", "--text", "hi") == 0

    [job] = jobs(run, capsys)
    assert (job["channel"], job["account"]) == ("wecom_webhook", "robot")


def test_what_another_program_sent_is_updated_and_recalled(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole body of the vendor's page names the card by its response_code, and a msgid names a message."""
    body = json.dumps({"userids": ["anna"], "agentid": 1, "response_code": "C1", "button": {"replace_name": "done"}})
    assert run("update-card", body, "--account", "hr") == 0
    assert run("recall", "--foreign", "M1", "--account", "hr") == 0

    capsys.readouterr()
    assert [job["kind"] for job in jobs(run, capsys)] == ["recall", "update_card"]


def test_the_update_of_a_job_takes_no_code(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """The job's own are used, and one that a body names is refused instead of dropped."""
    assert run("send", "hr", json.dumps(CARD)) == 0
    card = capsys.readouterr().out.strip()

    assert run("update-card", card, '{"response_code": "C1", "button": {"replace_name": "x"}}') == 1
    assert "response_code" in capsys.readouterr().err


def test_json_is_written_on_every_output(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal of GBK or cp1252 has not every character of a tag: JSON escapes them, and a list shows a mark."""
    assert run("send", "hr", "--text", "x", "--to", "anna", "--tag", "été 🎉 工资") == 0
    job = capsys.readouterr().out.strip()

    for encoding in ("gbk", "cp1252", "ascii"):
        with io.TextIOWrapper(io.BytesIO(), encoding=encoding) as output:
            monkeypatch.setattr(sys, "stdout", output)
            statuses = [run("jobs", "--json"), run("show", job, "--json")]
            output.flush()
            told = output.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]  # of the bytes below it
            statuses.append(run("show", job))
        assert statuses == [0, 0, 0]
        assert json.loads(told.splitlines()[0])["jobs"][0]["tags"] == ["été 🎉 工资"]
