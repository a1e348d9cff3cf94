"""The page of the simulator: its options, its settings, and the rules that break calls."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeGuard

from tools.reference.keys import Key, keys
from tools.reference.settings import explained
from tools.reference.text import Voice
from worker_simulator.__main__ import parser
from worker_simulator.settings import SettingsGroup, SimulatorSettings
from worker_simulator.wire.faults import FaultRule

UNCONFIRMED = "(unconfirmed) "
MARK = " **(?)**"
INTRODUCTION = (
    "Every option, setting and fault of the [simulator](../simulator.md), out of the program itself.",
    "**(?)** marks what the vendor has not confirmed: the worker has to be right under every value.",
)
OF_SETTINGS = (
    "They are JSON: `--settings` takes them at the start, and a POST to `/_control/settings` changes some at any time."
    " A dot in a name is an object inside, `[]` a list of objects. Of a code it is said which calls are answered with"
    " it; a code of 0 accepts them."
)
OF_FAULTS = (
    "A POST to `/_control/faults` adds a rule or a list of them. An action is one of those below, with the names that"
    " belong to it; [what each does to a call](../simulator.md#faults)."
)
HEAD = ("setting", "meaning")


def page(say: Voice) -> str:
    """The whole page."""
    return "\n".join(_sections(say))


def _sections(say: Voice) -> Iterator[str]:
    yield say.title(1, "The simulator")
    yield from (f"{say(text)}\n" for text in INTRODUCTION)
    yield say.title(2, "Options of {}", "`worker simulator`")
    yield say.table(("option", "meaning"), (_option(say, one) for one in options()))
    yield say.title(2, "Settings")
    yield f"{say(OF_SETTINGS)}\n"
    groups = {name: one.annotation for name, one in SimulatorSettings.model_fields.items() if _is_group(one.annotation)}
    yield _table(say, [key for key in keys(SimulatorSettings) if key.name.partition(".")[0] not in groups])
    for name, group in groups.items():
        yield say.title(3, f"`{name}`")
        yield f"{say(inspect.getdoc(group) or '')}\n"
        yield _table(say, keys(group, f"{name}."))
    yield say.title(2, "Faults")
    yield f"{say(OF_FAULTS)}\n"
    yield _table(say, keys(FaultRule))


def options() -> list[argparse.Action]:
    """Its options, without the one that lists them."""
    return [one for one in parser()._actions if one.dest != "help"]


def _is_group(annotation: Any) -> TypeGuard[type[SettingsGroup]]:
    return isinstance(annotation, type) and issubclass(annotation, SettingsGroup)


def _option(say: Voice, one: argparse.Action) -> list[str]:
    default = "" if one.default in (None, False) else f"`{one.default}`"
    return [f"`{one.option_strings[0]}`", say.explained(say(one.help or ""), say.default(default))]


def _table(say: Voice, found: Iterable[Key]) -> str:
    return say.table(HEAD, (_row(say, key) for key in found))


def _row(say: Voice, key: Key) -> list[str]:
    plain = replace(key, meaning=key.meaning.removeprefix(UNCONFIRMED))
    return [f"`{key.name}`{MARK if plain != key else ''}", explained(say, plain)]
