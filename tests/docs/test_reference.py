"""The reference pages are what the program says, in both languages: nothing is left out, and no page is older."""

from __future__ import annotations

import inspect
import re
import typing
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.models import OptionInfo

import worker
from tools.reference import names
from tools.reference.api import DOORS
from tools.reference.keys import channel_keys, keys
from tools.reference.pages import PAGES, made, place_of
from tools.reference.readers import readers
from tools.reference.settings import readers_of, variable_of
from tools.reference.simulator import UNCONFIRMED, options
from tools.reference.text import Voice, entries
from tools.site.navigation import LANGUAGES, Language
from worker.channels.registry import channel
from worker.channels.wecom.answer import ERRCODES as WECOM
from worker.channels.wecom_webhook.channel import ERRCODES as WEBHOOK
from worker.channels.youdu.envelope import ERRCODES as YOUDU
from worker.cli.commands import every_command
from worker.config.account_settings import AccountSettings
from worker.config.channels import REGISTRY
from worker.config.settings import Settings, load_settings
from worker.domain.errors import ConfigurationError
from worker_simulator.settings import SimulatorSettings
from worker_simulator.testing import plugin
from worker_simulator.wire.faults import FaultRule

IN_BOTH = pytest.mark.parametrize("language", LANGUAGES)


def text_of(name: str, language: Language) -> str:
    """A page as it is committed."""
    return place_of(name, language).read_text(encoding="utf-8")


@IN_BOTH
@pytest.mark.parametrize("name", PAGES)
def test_the_files_are_what_the_program_writes(name: str, language: Language) -> None:
    """`make reference` was run after the last change, and no text lacks its Chinese."""
    say = Voice(language)

    assert made(name, say) == text_of(name, language)
    assert say.missing == []


def test_a_text_in_one_language_only_is_missing() -> None:
    """A text that came to the program stays without its Chinese until the tables have it."""
    say = Voice("zh")

    assert say("Said in\n    English only.") == "Said in English only."
    assert say.missing == ["Said in English only."]


def test_every_entry_is_said_on_a_page() -> None:
    """The Chinese of a text that is gone goes, too; no text stands in two tables."""
    voices = [Voice("en") for _ in PAGES]
    for name, say in zip(PAGES, voices, strict=True):
        made(name, say)
    said = set[str]().union(*(say.said for say in voices))

    of_pages = [english for table, english, _ in entries() if table != "help"]  # those are on `--help`, each
    assert [english for english in of_pages if english not in said] == []
    assert [english for english, n in Counter(english for _, english, _ in entries()).items() if n > 1] == []


def test_both_languages_have_the_same_code_and_figures() -> None:
    """Text by text: a bound that changed in one has to change in the other."""
    assert [english for _, english, chinese in entries() if _exact(english) != _exact(chinese)] == []


def _exact(text: str) -> tuple[set[str], set[str], int]:
    plain = re.sub(r"`[^`]*`", "", text)
    return set(re.findall(r"`[^`]+`", text)), set(re.findall(r"\d[\d,.]*\d|\d", plain)), text.count("{}")


@IN_BOTH
@pytest.mark.parametrize("name", PAGES)
def test_a_telephone_shows_the_tables_whole(name: str, language: Language) -> None:
    """Of two columns: a third one, or the code in it, would stand beyond the edge of 390 px."""
    heads = re.findall(r"^\| (.+) \|\n\| ---", text_of(name, language), re.MULTILINE)

    assert {len(head.split(" | ")) for head in heads} == {2}


# -- settings ---------------------------------------------------------------------------------------------------------


def fields(model: type[BaseModel], within: str) -> Iterator[str]:
    """Each field of a model and of the models inside it, by its path without the names of tables."""
    for name, field in model.model_fields.items():
        if name == "given":
            continue
        yield f"{within}{name}"
        for inner in _models(field.annotation):
            if not {"env", "file"} <= set(inner.model_fields):
                yield from fields(inner, f"{within}{name}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for one in typing.get_args(annotation):
        yield from _models(one)


@IN_BOTH
def test_every_setting_is_on_the_page(language: Language) -> None:
    """Those of the whole and of an account, with all tables inside, and those of each channel."""
    shown = re.findall(r"^\| `([\w.\[\]]+)`", text_of("reference/settings.md", language), re.MULTILINE)
    plain = {re.sub(r"\.(NAME|TENANT)\b|\[\]", "", key) for key in shown}
    tables = {"delivery", "retention", "logs", "staging", "notify", "console"}
    of_channels = {f"accounts.{key}" for name in REGISTRY for key in channel(name).account_keys}
    # The switches of an account are those of all, which stand on the page once.
    of_accounts = {key.replace("accounts.staging.", "staging.") for key in fields(AccountSettings, "accounts.")}

    assert {*fields(Settings, ""), *of_accounts, *of_channels} - tables <= plain


@pytest.mark.parametrize("name", REGISTRY)
def test_the_keys_of_a_channel_are_those_it_reads(name: str) -> None:
    """No more and no fewer."""
    assert channel(name).account_keys == {key.name.removeprefix("accounts.NAME.") for key in channel_keys(name)}


def test_every_key_has_a_meaning() -> None:
    """In the docstring below it."""
    found = [*keys(Settings), *keys(AccountSettings, "accounts.NAME.")]

    assert [key.name for key in found if not key.meaning] == []


def test_every_key_is_read_by_a_process() -> None:
    """A key that is not is dead; `logs` goes on as a whole, and so does each table of a list or of names."""
    alone = [key.name for key in keys(Settings) if not re.search(r"\[\]|\.NAME|^logs", key.name)]

    assert [key for key in alone if not readers().get(key)] == []


@pytest.mark.parametrize(
    ("key", "processes"),
    [
        ("accounts", "all"),
        ("broker", "worker, commands"),
        ("console.idle_s", "console"),
        ("console.users.NAME.role", "console"),
        ("database", "all"),
        ("delivery.lease_s", "worker"),
        ("delivery.rate_limit_block_s", "worker, receiver"),
        ("hooks", "worker, receiver, console, commands"),
        ("logs.format", "worker, receiver, console, commands"),
        ("notify.to[].account", "worker, commands"),
        ("public_url", "commands"),
        ("queue_type", "worker"),
        ("retention.jobs_days", "worker"),
        ("seal_key", "worker, receiver, console, commands"),
        ("staging.only", "all"),
    ],
)
def test_a_key_is_read_by_those_whose_code_names_it(key: str, processes: str) -> None:
    """By themselves, behind other names of its table, in its methods, or because the whole table goes on."""
    assert processes == readers_of(key)


@pytest.mark.parametrize("key", [key.name for key in keys(Settings) if isinstance(key.default, bool | int | float)])
def test_the_variable_of_a_key_is_read(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is none of its type is refused, with the key's name and the variable's."""
    variable = variable_of(key)
    assert variable is not None
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WORKER_CONFIG", raising=False)
    monkeypatch.setenv(variable, "none of it")

    with pytest.raises(ConfigurationError, match=rf"{re.escape(key)}: .*") as caught:
        load_settings()

    assert variable in str(caught.value)


# -- simulator --------------------------------------------------------------------------------------------------------


@IN_BOTH
@pytest.mark.parametrize("model", [SimulatorSettings, FaultRule])
def test_every_setting_and_fault_of_the_simulator_is_on_the_page(model: type[BaseModel], language: Language) -> None:
    """With those of the tables inside it."""
    text = text_of("reference/simulator.md", language)
    shown = {name.replace("[]", "") for name in re.findall(r"^\| `([\w.\[\]]+)`", text, re.MULTILINE)}
    groups = {*re.findall(r"^### `(\w+)`", text, re.MULTILINE), "match", "action", "action.at"}

    assert [name for name in fields(model, "") if name not in shown | groups] == []


def test_every_setting_and_fault_of_the_simulator_has_a_meaning() -> None:
    """What is not confirmed says so first, by which the page marks it."""
    found = [*keys(SimulatorSettings), *keys(FaultRule)]

    assert [key.name for key in found if not key.meaning.removeprefix(UNCONFIRMED)] == []
    assert [key.name for key in found if "unconfirmed" in key.meaning.removeprefix(UNCONFIRMED)] == []
    assert "| `recall.twice_code` **(?)** | A msgid" in text_of("reference/simulator.md", "en")


def test_every_option_of_the_simulator_has_a_meaning() -> None:
    """In its help."""
    assert [one.dest for one in options() if not one.help] == []


# -- command line -----------------------------------------------------------------------------------------------------


def registered(group: Any, words: str = "worker") -> Iterator[tuple[str, Any]]:
    """Each command: its words and its function; with those of groups inside groups."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from registered(command, f"{words} {name}")
        else:
            yield f"{words} {name}", command.callback


@IN_BOTH
@pytest.mark.parametrize(("words", "function"), [pytest.param(*one, id=one[0]) for one in registered(every_command())])
def test_every_command_and_option_is_on_the_page(words: str, function: Any, language: Language) -> None:
    """In the section of its name, by the names that the command line takes."""
    text = text_of("reference/commands.md", language)
    section = re.search(rf"^## `{words}`(?: \{{ #[\w-]+ \}})?\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert section is not None

    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        if typing.get_origin(parameter.annotation) is not typing.Annotated:
            continue
        info = parameter.annotation.__metadata__[0]
        said = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str) and one[:1] == "-"]
        taken = f"--{name.replace('_', '-')}" if isinstance(info, OptionInfo) else info.metavar or name.upper()
        shown = said or [taken]
        assert [one for one in shown for one in one.split("/") if f"`{one}`" not in section[1]] == [], words
        assert info.help, (words, name)


# -- errcodes ---------------------------------------------------------------------------------------------------------


@IN_BOTH
def test_every_errcode_is_on_the_page(language: Language) -> None:
    """With its class, whether the message was looked at, what it means and what to do, as `explain` says it."""
    text = text_of("reference/errcodes.md", language)
    lines = re.findall(r"^\| `(-?\d+)`(?: - `\d+`)?<br>`\w+`(<br>`unseen`)? \| (.+)$", text, re.MULTILINE)
    rows, unseen = {code: told for code, _, told in lines}, {code for code, is_unseen, _ in lines if is_unseen}

    catalogues = [one for of in (WECOM.rows, WEBHOOK.rows, YOUDU.rows) for one in of]
    assert {str(one.code) for one in catalogues} == set(rows)
    assert {str(one.code) for one in catalogues if one.unseen} == unseen
    for code in (60020, 81013, 100005):
        told = next(found for name in ("wecom_app", "youdu") if (found := channel(name).explain(code, language)))
        assert rows[str(code)].startswith(told[0].partition("  ")[2])


# -- public names -----------------------------------------------------------------------------------------------------

CHANNELS = {entry.class_name for entry in REGISTRY.values()}
"""Classes of ours behind the doors, which no application calls."""


def public() -> Iterator[str]:
    """Each public name: those of the stub, those behind the doors of channels, and the fixtures of the test kit."""
    doors = {entry.public_module for entry in REGISTRY.values() if entry.public_module}
    yield from (name for name in worker.__all__ if name not in doors)
    for name in doors - {"wecom_app"}:
        module = getattr(worker, name)
        yield from (f"{name}.{one}" for one in names.public(module))
    yield from (name for name, one in vars(plugin).items() if type(one).__name__ == "FixtureFunctionDefinition")


@IN_BOTH
def test_every_public_name_is_on_a_page(language: Language) -> None:
    """As a heading, or in a table of what is the same elsewhere."""
    pages = "".join(text_of(f"reference/{name}.md", language) for name in ("api", "messages", "testing"))
    shown = set(re.findall(r"^(?:### |\| )`([\w.]+)`", pages, re.MULTILINE))

    assert "enqueue" in shown
    assert {name for name in public() if name.rpartition(".")[2] not in CHANNELS} - shown == set()


def test_every_public_name_and_field_has_a_meaning() -> None:
    """Each function, class, method, property and field, each key of the options and each fixture, in its docstring."""
    found = [told for name, one in described() for told in without_meaning(name, one)]

    assert found + [one.name for one in names.fixtures() if not one.meaning] == []


def described() -> Iterator[tuple[str, Any]]:
    """What has a section of its own on a page."""
    yield from (*names.library().items(), *names.kit().items())
    for of in DOORS:
        yield from ((f"{of}.{name}", one) for name, one in names.door(of).items())


def without_meaning(name: str, one: Any) -> Iterator[str]:
    """What of a public name is not explained."""
    is_function = names.is_function(one)
    if not (names.method(name, one).paragraphs if is_function else names.paragraphs(one)):
        yield name
    if not is_function:
        rows = [*(names.fields(one) if names.has_fields(one) else ()), *names.properties(one)]
        yield from (f"{name}.{row.name}" for row in rows if not row.meaning)
        yield from (f"{name}.{each.name}" for each in names.methods(one) if not each.paragraphs)


def test_a_signature_is_that_of_the_function() -> None:
    """With each parameter, its default, and what is returned; no object is shown as Python does."""
    text = text_of("reference/api.md", "en")

    assert "wait_until_ended(\n    source: Source,\n    job_id: JobId,\n    timeout_s: float = 30.0,\n    *,\n" in text
    assert "text_hash(" in text
    assert " object at 0x" not in text


def test_no_page_names_a_field_that_is_gone() -> None:
    """The fields of a message, as the class itself has them."""
    text = text_of("reference/messages.md", "en")
    section = text.partition("### `TextCard`\n")[2].partition("\n### ")[0]

    assert list(worker.TextCard.model_fields) == re.findall(r"^\| `(\w+)`", section, re.MULTILINE)
