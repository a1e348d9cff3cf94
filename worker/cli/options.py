"""Options that several commands share, the output of results, and the help in the language of the person."""

from __future__ import annotations

import getpass
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from enum import IntEnum
from functools import partial, wraps
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, Literal, TypeVar, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from worker.cli.times import PAST
from worker.domain.errors import ConfigurationError, WorkerError
from worker.language import language, term, translate
from worker.language.visible import one_line, visible, visible_json

C = TypeVar("C", bound=Callable[..., Any])
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Account = Annotated[str | None, typer.Option(help="Only this account's.")]
Channel = Annotated[str | None, typer.Option(help="Only this channel's.")]
OfKind = Annotated[str | None, typer.Option("--kind", help="Only jobs of this kind, such as send.")]
Tag = Annotated[str | None, typer.Option(help="Only jobs with this tag.")]
Everything = Annotated[bool, typer.Option("--all", help="Everything, whatever the account.")]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING"], typer.Option(case_sensitive=False, help="Least level of the lines in the log.")
]


def _text(help: str, *names: str) -> Any:
    return Annotated[str | None, typer.Option(*names, help=f"Only jobs {help}.")]


def _instant(help: str) -> Any:
    return Annotated[datetime | None, typer.Option(help=f"Only what was {help}.", **PAST)]


FILTER: Mapping[str, Any] = {
    "ids": Annotated[list[str] | None, typer.Argument(help="Ids of jobs.", show_default=False)],
    "account": Account,
    "channel": Channel,
    "kind": OfKind,
    "state": _text("in this state, such as expired"),
    "tag": Tag,
    "recipient": _text("to this recipient, or that mention it; upper and lower case are the same"),
    "dedupe_key": _text("with this dedupe key of the --account"),
    "order_key": _text("with this order_key"),
    "msgid": _text("with a message of this msgid"),
    "errcode": Annotated[int | None, typer.Option(help="Only jobs with a call that was answered with it.")],
    "text_hash": _text("with the same text hash, which worker show prints", "--text-hash"),
    "replay_of": _text("that replay this one"),
    "created_from": _instant("enqueued then or later"),
    "created_before": _instant("enqueued before"),
    "ended_from": _instant("over then or later"),
    "ended_before": _instant("over before"),
    "called_from": _instant("last called then or later"),
    "called_before": _instant("last called before"),
}
"""The options of a command that takes a filter, by the names of its fields."""


def with_filter(*excluded: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options of a filter to a command; its first argument is a dict of those that the person has set."""
    filter_options = {name: option for name, option in FILTER.items() if name not in excluded}

    def set_options(options: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if value not in (None, [])}

    return lambda command: with_options(command, set_options, dict.fromkeys(filter_options), filter_options)


@dataclass(frozen=True, slots=True)
class Person:
    """The person who runs a command, their reason, and the form of the output."""

    acting_as: str
    """The name from `--as`; empty for the system's user."""
    why: str
    yes: bool
    """Whether to run without confirmation."""
    as_json: bool

    @property
    def name(self) -> str:
        """The name for the audit. Raises ConfigurationError if `--as` is missing and the system's user has no name."""
        return self.acting_as or system_user()

    def answer(self, value: Any, text: str) -> None:
        """Prints the value as JSON if --json was given, else the text."""
        print_value(value, text, as_json=self.as_json, is_done=True)

    def confirm(self, question: str) -> None:
        """Asks for confirmation on stderr, unless `--yes` is set; raises WorkerError if the answer is no."""
        if not self.yes and not typer.confirm(translate(question), err=True):
            raise WorkerError("nothing was changed")


def by_person(
    *, confirms: bool = False, help: str = "The reason, in a few words; kept in the audit."
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds the options of the person to a command, whose first argument is the `Person`.

    With `confirms` there is also `--yes`. `help` is the help text of `--why`.
    """
    options: dict[str, Any] = {
        "why": Annotated[str, typer.Option(help=help)],
        "acting_as": Annotated[str, typer.Option("--as", help=("Who gives the command; default: the system's user."))],
        **({"yes": Annotated[bool, typer.Option("--yes", help="Does not ask for confirmation.")]} if confirms else {}),
        "as_json": Json,
    }
    defaults = {"why": "", "acting_as": "", "yes": False, "as_json": False}

    def make_person(values: Mapping[str, Any]) -> Person:
        return Person(**{**defaults, **values})

    return lambda command: with_options(command, make_person, defaults, options, append=True)


def system_user() -> str:
    """Returns the name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        sentence = "the system has no name for the user who runs this; give your name with --as NAME"
        raise ConfigurationError(sentence) from None


def with_options(
    command: Callable[..., Any],
    bundle: Callable[[Mapping[str, Any]], Any],
    defaults: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    append: bool = False,
) -> Callable[..., Any]:
    """Returns the command with these options in place of its first argument, which `bundle` makes from their values."""
    first, *parameters = signature(command, eval_str=True).parameters.values()
    parameters = [parameter.replace(kind=Parameter.KEYWORD_ONLY) for parameter in parameters]
    added = [Parameter(n, Parameter.KEYWORD_ONLY, default=defaults[n], annotation=options[n]) for n in options]

    @wraps(command)
    def run(**values: Any) -> Any:
        return command(**{first.name: bundle({name: values.pop(name) for name in options})}, **values)

    # Typer reads the options from here.
    run.__signature__ = Signature([*parameters, *added] if append else [*added, *parameters])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*parameters, *added)}
    del run.__wrapped__
    return run


def print_value(value: Any, text: str, *, as_json: bool, is_done: bool = False) -> None:
    """Prints the value as JSON, or the text in the language of the person. For `is_done`, see `write`."""
    echo(json.dumps(to_json(value), ensure_ascii=False) if as_json else text, is_done=is_done)


def to_json(value: Any) -> Any:
    """Converts a report to JSON values: states by name, times in ISO 8601."""
    match value:
        case IntEnum():
            return value.name.lower()
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(key): to_json(inner) for key, inner in value.items()}
        case list() | tuple():
            return [to_json(inner) for inner in value]
        case _ if is_dataclass(value):
            return {field.name: to_json(getattr(value, field.name)) for field in fields(value)}
    return value


def echo(line: str, *, is_done: bool = False) -> None:
    """Prints a line of the result in the language of the person. A line of JSON is printed unchanged."""
    write(_writable(visible_json(line)) if line.startswith(("{", "[")) else translate(line), is_done=is_done)


def write(text: str, *, is_done: bool = False) -> None:
    """Writes to stdout. Raises WorkerError if that fails, and says if the command has changed something (`is_done`).

    A closed pipe ends other commands without a word, because `head` has read enough.
    """
    try:
        typer.echo(visible(text))
    except OSError as error:
        if isinstance(error, BrokenPipeError) and not is_done:
            raise
        # Python writes what is left once more when it ends, and would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        reason = error.strerror
        if is_done:
            sentence = (
                f"the command was carried out, but its result could not be written ({reason}); see `worker audit`"
            )
            raise WorkerError(sentence) from None
        raise WorkerError(f"the output could not be written ({reason})") from None


def _writable(text: str) -> str:
    """Escapes characters of JSON that the encoding of the output lacks, as GBK and cp1252 do."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(json.loads(text))
    return text


def echo_error(line: str) -> None:
    """Prints a line to stderr in the language of the person, so that it is no part of the result."""
    typer.echo(one_line(translate(line)), err=True)


# -- help and errors, in the language of the person ------------------------------------------------------------------

_TITLES = {
    "ARGUMENTS_PANEL_TITLE": "Arguments",
    "OPTIONS_PANEL_TITLE": "Options",
    "COMMANDS_PANEL_TITLE": "Commands",
    "ERRORS_PANEL_TITLE": "Error",
    "ABORTED_TEXT": "Aborted.",
    "DEFAULT_STRING": "[default: {}]",
    "REQUIRED_LONG_STRING": "[required]",
    "RICH_HELP": "Try [blue]'{command_path} {help_option}'[/] for help.",
}
"""Typer's texts, by the names of their constants in `typer.rich_utils`."""


class Commands(typer.Typer):
    """A Typer app whose help is in the language of the person."""

    def __init__(self, cls: type[TyperGroup] | None = None, **options: Any):
        super().__init__(cls=cls or CommandGroup, pretty_exceptions_enable=False, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[C], C]:
        """Adds a command whose help is in the language of the person."""
        return super().command(name, cls=Command, **options)

    def run(self) -> int:
        """Runs the command and prints its usage errors; returns the exit status.

        The status is 1 for a command that returns False, because it did nothing.
        """
        try:
            result = self(prog_name="worker", standalone_mode=False)
            return int(result is False) if result is None or isinstance(result, bool) else result
        except typer.Abort:
            _rich_utils().rich_abort_error()
            return 1
        except TyperException as error:
            vars(error)["format_message"] = partial(translate, visible(error.format_message()))
            _rich_utils().rich_format_error(cast(Any, error))
            return error.exit_code


class Command(TyperCommand):
    """A command whose help is in the language of the person."""

    def get_usage(self, ctx: Any) -> str:
        """Returns the usage line in the language of the person."""
        return _usage(super().get_usage(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help in the language of the person."""
        _translate(self, *self.get_params(ctx))
        super().format_help(ctx, formatter)


class CommandGroup(TyperGroup):
    """A group of commands whose help is in the language of the person."""

    def get_usage(self, ctx: Any) -> str:
        """Returns the usage line in the language of the person."""
        return _usage(super().get_usage(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Writes the help in the language of the person."""
        _translate(self, *self.get_params(ctx), *self.commands.values())
        super().format_help(ctx, formatter)


def _usage(text: str) -> str:
    title = "Usage: "
    return text.replace(title, term("typer", title), 1)


def _translate(*documented: Any) -> None:
    """Translates the help of commands and options in place; every run makes new ones."""
    _rich_utils()
    if language() != "en":
        for item in documented:
            paragraphs = inspect.cleandoc(item.help or "").replace("\\[", "[").split("\n\n")
            text = "\n\n".join(term("help", " ".join(paragraph.split())) for paragraph in paragraphs)
            item.help = text.replace("[", "\\[")  # Rich would take it for its markup


def _rich_utils() -> Any:
    """Imports Typer's module for help and errors, with its texts translated. Late, because Rich takes long to load."""
    from typer import rich_utils

    for name, english in _TITLES.items():
        setattr(rich_utils, name, term("typer", english))
    return rich_utils
