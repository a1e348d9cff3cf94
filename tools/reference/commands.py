"""The page of the command line: every command with its arguments and options."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator
from typing import Any, Literal

from tools.reference.text import Voice
from worker.cli.commands import every_command

HEAD = ("argument or option", "meaning")
COMPLETION = ("install_completion", "show_completion")
INTRODUCTION = (
    "Every command with its options, out of the program itself; [operations](../operations.md) says what each tells and"
    " its exit status. `worker COMMAND --help` prints the same.",
    'A time is typed as people say it: `-30m`, `2h`, `14:00`, `"yesterday 22:00"`, `today`, `"2026-11-27 09:00"`, with'
    " an offset (`Z`, `+08:00`) or in the zone of [`time_zone`](settings.md), in which times are shown. `2h` and"
    " `14:00` are the next in `--due-at` and `--expires-at`, and the last in a filter; a number without a unit is"
    " refused.",
    "The output is in the language of `WORKER_LANG`, JSON always in English.",
)


def commands() -> Iterator[tuple[str, Any]]:
    """Each command that does something, by its words, such as `worker db upgrade`."""
    return _inside("worker", every_command())


def _inside(words: str, command: Any) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", {})
    if not inner or command.invoke_without_command or words == "worker":
        yield words, command
    for name, one in inner.items():
        yield from _inside(f"{words} {name}", one)


def page(say: Voice) -> str:
    """The whole page."""
    return "\n".join(_sections(say))


def _sections(say: Voice) -> Iterator[str]:
    yield say.title(1, "Command line")
    for text in INTRODUCTION:
        yield f"{say(text)}\n"
    for words, command in commands():
        yield say.title(2, f"`{words}`")
        for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
            yield f"{say(_plain(paragraph))}\n"
        yield f"```\n{_usage(words, command)}\n```\n"
        if shown := parameters(command):
            yield say.table(HEAD, (_row(say, one, command) for one in shown))


def parameters(command: Any) -> list[Any]:
    """Its arguments and options, without those that only complete a shell's line."""
    return [one for one in command.params if not one.hidden and one.name not in COMPLETION]


def _usage(words: str, command: Any) -> str:
    arguments = [one for one in parameters(command) if one.param_type_name == "argument"]
    pieces = [f"{_name(one)}{'...' if one.nargs == -1 else ''}" for one in arguments]
    named = [piece if one.required else f"[{piece}]" for piece, one in zip(pieces, arguments, strict=True)]
    has_options = len(parameters(command)) > len(arguments)
    return " ".join(
        [words, *(["[OPTIONS]"] if has_options else []), *named, *(["COMMAND"] if words == "worker" else [])]
    )


def _name(one: Any) -> str:
    return str(one.metavar or one.name.upper())


def _row(say: Voice, one: Any, command: Any) -> list[str]:
    if one.param_type_name == "argument":
        names = f"`{_name(one)}`"
    else:
        names = say.listed(f"`{name}`" for name in (*one.opts, *one.secondary_opts))
    value = "" if getattr(one, "is_flag", False) else _value(say, one, command)
    return [names, say.explained(say(_plain(one.help or "")), value, _default(say, one))]


def _plain(help: str) -> str:
    """A help text without what keeps Rich from reading it as its markup."""
    return help.replace("\\[", "[")


def _value(say: Voice, one: Any, command: Any) -> str:
    if one.param_type_name == "option" and one.metavar:
        return f"`{one.metavar}`"
    annotation = inspect.signature(command.callback, eval_str=True).parameters[one.name].annotation
    words = [_type(say, annotation), *(say(text, bound) for text, bound in _bounds(annotation))]
    if one.nargs == -1 or typing.get_origin(_bare(annotation)) is list:
        words.append(say("may be repeated"))
    return say.listed(words)


def _bounds(annotation: Any) -> Iterator[tuple[str, object]]:
    for info in getattr(annotation, "__metadata__", ()):
        both = (("at least {}", info.min), ("at most {}", info.max))
        yield from ((text, value) for text, value in both if value is not None)


def _bare(annotation: Any) -> Any:
    """The type inside Annotated, and without None."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        (annotation,) = (one for one in typing.get_args(annotation) if one is not type(None))
    return annotation


def _type(say: Voice, annotation: Any) -> str:
    bare = _bare(annotation)
    inner = typing.get_args(bare)
    if typing.get_origin(bare) is Literal:
        return say("one of {}", say.listed(f"`{one}`" for one in inner))
    return say(_WORDS[inner[0] if inner else bare])


_WORDS: dict[Any, str] = {int: "whole number", float: "number", str: "text"}


def _default(say: Voice, one: Any) -> str:
    if one.required:
        return say("required")
    if one.default in (None, False, "") or getattr(one, "is_flag", False):
        return ""
    return say.default(f"`{one.default}`")
