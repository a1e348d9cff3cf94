"""The page of all settings."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from tools.reference.keys import Key, account_keys, channel_keys, keys, places
from tools.reference.readers import readers
from tools.reference.text import Voice, told
from worker.config.channels import REGISTRY
from worker.config.places import SecretFrom, UrlFrom
from worker.config.settings import Settings
from worker.config.surroundings import SURROUNDINGS

HEAD = ("key, and its variable", "meaning")
INTRODUCTION = (
    "Every key of `worker.toml`, out of the program itself; [settings](../settings.md) explains them.",
    "A key is also a variable, which wins: `WORKER_`, the key in capitals, `__` for each dot. NAME and its like stand"
    " for names that you give. The variable of a list or of a whole table is JSON; that of a URL is the URL itself.",
    "Read by: the worker; the receiver of callbacks; the console; the other commands; *all*: these, and the producer,"
    " an application that enqueues. The simulator has [settings of its own](simulator.md).",
)
OF_ACCOUNTS = (
    "All processes read these tables. A secret is read when a call or a callback needs it: an application that enqueues"
    " needs none."
)
OPENS_NO_SECRET = ("seal_key", "producer")
"""What the source does not tell: an application holds what opens the secrets of accounts, and never asks for one."""
VARIABLES: Mapping[str, str] = {
    "WORKER_CONFIG": "The path of the settings file; without it `worker.toml` of the folder where a process starts.",
    "WORKER_LANG": "`zh` or `en`: the language of the person who reads; without it the locale decides.",
    "LC_ALL, LC_MESSAGES, LANG": "The locale, which decides the language where `WORKER_LANG` does not.",
    "OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": (
        "The collector that spans go to; without either of them there are none. The other variables of OpenTelemetry"
        " are read, too."
    ),
    "OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "`http/protobuf`, the one way there is.",
    "OTEL_TRACES_EXPORTER": "`none` switches spans off; `otlp`, the one exporter there is.",
    "OTEL_SDK_DISABLED": "`true` switches spans off.",
    "TMPDIR": "Where files behind URLs are kept while they are passed on.",
}
"""Variables that are no key of the settings."""
OF_OTHERS = (
    "Libraries read variables by themselves. Of these, which may be set for another program of the same host, each"
    " worker process logs a line where it starts, and `worker doctor` a caution. `*` stands for any letters."
)
TABLES = ("delivery", "retention", "logs", "staging", "notify", "console")


def page(say: Voice) -> str:
    """The whole page."""
    return "\n".join(_sections(say))


def _sections(say: Voice) -> Iterator[str]:
    yield say.title(1, "All settings")
    for text in INTRODUCTION:
        yield f"{say(text)}\n"
    yield say.title(2, "Top level")
    yield _table(say, [key for key in keys(Settings) if key.name.partition(".")[0] not in TABLES])
    yield say.title(2, "URLs and secrets")
    yield f"{say('Forms of a value; URL and SECRET stand for a key whose value is one of them.')}\n"
    yield _table(say, places(), has_readers=False)
    yield say.title(2, "[accounts.NAME]")
    yield f"{say(OF_ACCOUNTS)}\n"
    yield _table(say, account_keys(), has_readers=False)
    for channel in REGISTRY:
        yield say.title(3, "Only of `{}`", channel)
        yield _table(say, channel_keys(channel), has_readers=False)
    for name in TABLES:
        yield say.title(2, f"[{name}]")
        yield _table(say, [key for key in keys(Settings) if key.name.partition(".")[0] == name])
    yield say.title(2, "Variables that are no key")
    rows = [(say.listed(f"`{one}`" for one in name.split(", ")), say(text)) for name, text in VARIABLES.items()]
    yield say.table(("variable", "meaning"), rows)
    yield say.title(2, "Variables of other programs")
    yield f"{say(OF_OTHERS)}\n"
    others = [one for one in SURROUNDINGS if one.effect]
    rows = [(say.listed(f"`{name}`" for name in one.names), told(say, one.effect)) for one in others]
    yield say.table(("variable", "what it does here"), rows)


def variable_of(key: str) -> str | None:
    """The variable of a key; None: it stands inside a list, or in the form of a value."""
    return None if "[]" in key or key.startswith(("URL.", "SECRET.")) else f"WORKER_{key.upper().replace('.', '__')}"


def readers_of(key: str) -> str:
    """The processes that read a key; what is inside a list or behind a name is read by those that read the whole."""
    table = re.split(r"\[\]|\.NAME", key)[0]
    while table and table not in readers():
        table = table.rpartition(".")[0]
    found = [process for process in readers()[table] if (table, process) != OPENS_NO_SECRET]
    return "all" if "producer" in found else ", ".join(found)


def _table(say: Voice, found: Iterable[Key], *, has_readers: bool = True) -> str:
    return say.table(HEAD, (_row(say, key, has_readers) for key in found))


def _row(say: Voice, key: Key, has_readers: bool) -> list[str]:
    variable = variable_of(key.name)
    readers = say.listed(map(say, readers_of(key.name).split(", "))) if has_readers else ""
    return [
        f"`{key.name}`" + (f"<br>`{variable}`" if variable else ""),
        explained(say, key, say("read by {}", readers) if readers else ""),
    ]


def explained(say: Voice, key: Key, *facts: str) -> str:
    """What a key means, what its value may be, and its default."""
    shape = say.listed(say(one.text, *(_put(say, value) for value in one.values)) for one in key.shape)
    return say.explained(_for_a_file(say(key.meaning)), shape, _default(say, key.default), *facts)


def _put(say: Voice, value: object) -> object:
    return say.listed(value) if isinstance(value, tuple) else value


def _for_a_file(meaning: str) -> str:
    """A docstring's None, which in a file is a key that is left out."""
    return re.sub(r"\bNone: ", "left out: ", re.sub(r"(^|\. )None: ", r"\1Left out: ", meaning))


def _default(say: Voice, value: Any) -> str:
    match value:
        case None | () | [] | "" | {}:
            return ""
        case types.EllipsisType():
            return say("required")
        case [BaseModel(), *_]:
            return say.default(say("{} tables", len(value)))
        case UrlFrom():
            return say.default(f"`{value.url}`")
        case SecretFrom():
            return say.default(f'`{{ env = "{value.env}" }}`')
        case bool() | list() | dict():
            return say.default(f"`{json.dumps(value)}`")
        case float():
            return say.default(f"`{value:g}`" if value < 1 else f"`{int(value)}`")
        case _:
            return say.default(f"`{value}`")
