"""`worker correct`, whose new messages come in four ways."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.cli.command import Given, made_of
from worker.cli.options import Commands
from worker.cli.sending import json_object, warnings_as_sentences
from worker.control.cancel import JOB_ID
from worker.control.correct import COMMAND, CorrectableJobs
from worker.domain.errors import WorkerError
from worker.domain.job import id_of
from worker.domain.job_filter import MAX_IDS
from worker.language import translate

app = Commands()


@app.command()
@made_of(COMMAND)
def correct(
    given: Given,
    text: Annotated[str | None, typer.Option(help="The right text.")] = None,
    message: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="Another message than a text, as the vendor's page shows it; - is stdin."),
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="Only this text of each message is replaced; may be given again."),
    ] = None,
    messages: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="A line a job: its id, a space, the text or JSON; - is stdin."),
    ] = None,
) -> bool:
    """Corrects messages."""
    if [text, message, replace or None, messages].count(None) != 3:
        raise typer.BadParameter(
            translate("give the new message with one of --text, --message, --replace and --messages")
        )
    new: dict[str, Any] = {"message": text}
    if message is not None:
        new["message"] = json_object(message)
    elif replace:
        new["replace"] = dict(map(_replacement, replace))
    elif messages is not None:
        new["messages"] = _message_lines(messages)
        given.target.update({} if given.target else _ids_of(new["messages"]))
    with warnings_as_sentences():
        selection = given.find(**new)
    return given.carry_out(
        selection, notes=[*_sample_lines(selection), _due_line(len(selection.ids), given.options["rate"])]
    )


def _replacement(pair: str) -> tuple[str, str]:
    old, equals, new = pair.partition("=")
    if not (old and equals):
        raise typer.BadParameter(translate("--replace needs OLD=NEW, with the first = between them"))
    return old, new


def _message_lines(file: str) -> dict[str, Any]:
    """Reads a message for each job's id from the lines of a file, or of stdin for `-`."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise WorkerError(f"the messages cannot be read from {file} ({reason})") from None
    messages: dict[str, Any] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        id, _, content = line.strip().partition(" ")
        if not id:
            continue
        if not JOB_ID.fullmatch(id := id_of(id)) or id in messages or not content.strip():
            raise WorkerError(
                f"line {number} of the messages is none: a line has the whole id of a job, each once, a space, and"
                " the text or the JSON of its message"
            )
        messages[id] = _content(content.strip(), number)
    return messages


def _content(text: str, number: int) -> Any:
    if not text.startswith(("{", '"')):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WorkerError(f"line {number} of the messages is not valid JSON: {error}") from None


def _ids_of(messages: Mapping[str, Any]) -> dict[str, Any]:
    if len(messages) > MAX_IDS:
        raise WorkerError("give the filter of the mailing too, such as --tag and --created-from: there are many lines")
    return {"ids": [*messages]}


def _sample_lines(selection: CorrectableJobs) -> Iterator[str]:
    """Yields old and new texts, as JSON: a line each, whatever is in them."""
    for sample in selection.samples:
        yield f"  {sample.job}"
        yield f"    - {json.dumps(sample.old, ensure_ascii=False)}"
        yield f"    + {json.dumps(sample.new, ensure_ascii=False)}"


def _due_line(count: int, rate: float) -> str:
    duration = timedelta(seconds=round(count / rate))
    return f"the new messages become due at {rate:g} a second, the last of them after {duration}"
