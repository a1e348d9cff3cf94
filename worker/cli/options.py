"""Options and words that several commands have, and how commands show themselves."""

from __future__ import annotations

import getpass
import inspect
import json
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
    "text_hash": _text("that say the same as the one of which worker show prints this", "--text-hash"),
    "replay_of": _text("that replay this one"),
    "created_from": _instant("enqueued then or later"),
    "created_before": _instant("enqueued before"),
    "ended_from": _instant("over then or later"),
    "ended_before": _instant("over before"),
    "called_from": _instant("last called then or later"),
    "called_before": _instant("last called before"),
}
"""The options of a command that takes a filter, by the names of its fields."""
OF_CALLS = ("called_from", "called_before")


def with_filter(*without: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command the options of a filter: it gets those that were given as a dict, its first argument."""
    offered = {name: option for name, option in FILTER.items() if name not in without}

    def given(options: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in options.items() if value not in (None, [])}

    return lambda command: _bundled(command, given, dict.fromkeys(offered), offered)


@dataclass(frozen=True, slots=True)
class Person:
    """The person who gives a command, the reason, and how the command answers."""

    acting_as: str
    """The name that was given; empty: the person is the system's user."""
    why: str
    yes: bool
    """Nothing is to be asked."""
    as_json: bool

    @property
    def name(self) -> str:
        """The name that the audit has; ConfigurationError where none is given and the system has none."""
        return self.acting_as or system_user()

    def answer(self, value: Any, text: str) -> None:
        """Prints the value as JSON if --json was given, else the text."""
        print_value(value, text, as_json=self.as_json)

    def confirm(self, question: str) -> None:
        """Asks on stderr, unless nothing is to be asked; WorkerError for a no."""
        if not self.yes and not typer.confirm(translate(question), err=True):
            raise WorkerError("nothing was changed")


def by_person(
    *, asks: bool = False, help: str = "The reason, in a few words; kept in the audit."
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Gives a command the options of the person who gives it, who is its first argument; `help`: that of --why."""
    options: dict[str, Any] = {
        "why": Annotated[str, typer.Option(help=help)],
        "acting_as": Annotated[str, typer.Option("--as", help=("Who gives the command; default: the system's user."))],
        **({"yes": Annotated[bool, typer.Option("--yes", help="Does not ask for confirmation.")]} if asks else {}),
        "as_json": Json,
    }
    defaults = {"why": "", "acting_as": "", "yes": False, "as_json": False}

    def person(given: Mapping[str, Any]) -> Person:
        return Person(**{**defaults, **given})

    return lambda command: _bundled(command, person, defaults, options, at_the_end=True)


def system_user() -> str:
    """The name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        sentence = "the system has no name for the user who runs this; give your name with --as NAME"
        raise ConfigurationError(sentence) from None


def _bundled(
    command: Callable[..., Any],
    bundle: Callable[[Mapping[str, Any]], Any],
    defaults: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    at_the_end: bool = False,
) -> Callable[..., Any]:
    """The command with options in place of its first argument, which is made of them."""
    first, *own = signature(command, eval_str=True).parameters.values()
    own = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own]
    more = [Parameter(n, Parameter.KEYWORD_ONLY, default=defaults[n], annotation=options[n]) for n in options]

    @wraps(command)
    def run(**given: Any) -> Any:
        return command(**{first.name: bundle({name: given.pop(name) for name in options})}, **given)

    # Typer reads the options from here.
    run.__signature__ = Signature([*own, *more] if at_the_end else [*more, *own])  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in (*own, *more)}
    del run.__wrapped__
    return run


def print_value(value: Any, text: str, *, as_json: bool) -> None:
    """Prints the value as JSON, or the text in the language of the person."""
    echo(json.dumps(plain(value), ensure_ascii=False) if as_json else text)


def plain(value: Any) -> Any:
    """A report as JSON values: states by name, times in ISO 8601."""
    match value:
        case IntEnum():
            return value.name.lower()
        case datetime():
            return value.isoformat()
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [plain(inner) for inner in value]
        case _ if is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    return value


def echo(line: str) -> None:
    """Prints a line of the result in the language of the person; a line of JSON, which is for programs, as it is."""
    typer.echo(_writable(line) if line.startswith(("{", "[")) else translate(line))


def _writable(text: str) -> str:
    """JSON in characters that the output has: GBK and cp1252 have not all of a message's."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(json.loads(text))
    return text


def echo_error(line: str) -> None:
    """Prints a line to stderr, beside the result, in the language of the person."""
    typer.echo(translate(line), err=True)


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
"""Typer's own texts by the names under which it keeps them."""


class Commands(typer.Typer):
    """Commands whose help is in the language of the person."""

    def __init__(self, cls: type[TyperGroup] | None = None, **given: Any):
        super().__init__(cls=cls or CommandGroup, pretty_exceptions_enable=False, **given)

    def command(self, name: str | None = None, **given: Any) -> Callable[[C], C]:
        """See Typer."""
        return super().command(name, cls=Command, **given)

    def run(self) -> int:
        """Runs the command that was typed, and prints what is wrong with it; returns the exit status.

        A command that returns False did nothing of what it was asked for: status 1.
        """
        try:
            ended = self(prog_name="worker", standalone_mode=False)
            return int(ended is False) if ended is None or isinstance(ended, bool) else ended
        except typer.Abort:
            _typers_own().rich_abort_error()
            return 1
        except TyperException as error:
            vars(error)["format_message"] = partial(translate, error.format_message())
            _typers_own().rich_format_error(cast(Any, error))
            return error.exit_code


class Command(TyperCommand):
    """A command whose help is in the language of the person."""

    def get_usage(self, ctx: Any) -> str:
        """See Typer."""
        return _usage(super().get_usage(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """See Typer."""
        _translate(self, *self.get_params(ctx))
        super().format_help(ctx, formatter)


class CommandGroup(TyperGroup):
    """Commands whose help is in the language of the person."""

    def get_usage(self, ctx: Any) -> str:
        """See Typer."""
        return _usage(super().get_usage(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """See Typer."""
        _translate(self, *self.get_params(ctx), *self.commands.values())
        super().format_help(ctx, formatter)


def _usage(text: str) -> str:
    title = "Usage: "
    return text.replace(title, term("typer", title), 1)


def _translate(*explained: Any) -> None:
    """Puts the help of commands and options in the language; each run makes them anew."""
    _typers_own()
    if language() != "en":
        for one in explained:
            paragraphs = inspect.cleandoc(one.help or "").replace("\\[", "[").split("\n\n")
            told = "\n\n".join(term("help", " ".join(text.split())) for text in paragraphs)
            one.help = told.replace("[", "\\[")  # Rich would take it for its markup


def _typers_own() -> Any:
    """Typer's module that shows help and errors, with its texts in the language; Rich takes a while to load."""
    from typer import rich_utils

    for name, english in _TITLES.items():
        setattr(rich_utils, name, term("typer", english))
    return rich_utils
