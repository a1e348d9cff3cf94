"""Everything that is said to people is there in English and in Chinese: code and tables have the same sentences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import ValidationError
from pydantic_core import SchemaValidator, core_schema

from tests.support.sentences import sentences
from worker.channels.wecom.answer import ERRCODES as WECOM, WRONG_SECRET
from worker.channels.wecom_webhook.channel import ERRCODES as WEBHOOK
from worker.channels.youdu.envelope import ERRCODES as YOUDU
from worker.language import PLACE, errcodes, tables, term, translate
from worker.reporting.problem_kinds import KINDS as PROBLEMS

ROOT = Path(__file__).parents[2]
WORKER, SIMULATOR = ROOT / "worker", ROOT / "worker_simulator"
SQL_OF_THE_KIT = SIMULATOR / "testing" / "tables.py"
SPOKEN = [
    *("cli", "reporting", "config", "accounts", "domain", "channels", "control", "hooks", "producer", "delivery"),
    *("console", "service", "transport", "crypto/envelope.py", "crypto/youdu.py"),
    *("outbox/commit/marks.py", "outbox/engine/caller.py", "outbox/engine/django.py"),
]
"""The rooms and files all of whose sentences have their Chinese."""
SPOKEN_BY_THE_SIMULATOR = [
    *("testing", "wecom_app/calls/events.py", "wecom_webhook/events.py"),
    *("demo/__init__.py", "demo/board.py", "demo/checks.py", "demo/stage.py", "demo/channels/__init__.py"),
]
"""What an application's tests hear, and what the demo prints."""
APART = [
    *("cli/options.py", "cli/setup/init.py", "config/logging.py", "channels/first_steps.py"),
    *("console/words.py", "console/app.py", "console/rendering.py"),
    *(
        "service/flower",
        "service/spans.py",
        "service/wait_log.py",
        "service/web/collector.py",
        "service/web/counters.py",
    ),
    *("transport/session.py", "transport/connection.py", "transport/http.py", "transport/multipart.py"),
]
"""The help of options, `worker init`, which has its own, names in a log line and its texts, the words of the pages,
what Flower, traces and metrics say, which programs read, and what goes over a wire or is markup."""
UNSAID = {
    "Basic {login}": "a header",
    "Bearer {bearer}": "a header",
    "CONNECT {target} HTTP/1.1": "a header",
    "Host: {target}": "a header",
    "User-Agent: im-delivery-worker": "a header",
    "token {account} {fingerprint} {generation}": "what a sealed token is bound to",
    "openid email profile": "what is asked of a provider",
    "do: {remedy}": "a word and a sentence",
    "wrong json format": "the vendor's",
    "{name} listening on {address}": "programs wait for it",
    "--listen {setting}": "a command",
    "--listen {listen}": "a command",
    "console.listen {setting}": "a setting",
    "--host {host} --port {port}": "a command",
    "not ready: the database does not answer": "an answer to a probe",
    "body too large": "an answer to the vendor",
    "body too slow": "the same",
    "body cut short": "the same",
    "Too long.": "the same",
    "no such path": "a reason in a line of the receiver's log",
    "no such account": "the same",
    "accounts cannot be read": "the same",
    "not read in time": "the same",
    "a notice": "what a target is tried with",
    "events of hooks": "a value in a log line",
    "http {status}": "the same",
    "answer lost": "a fault's name",
    "no json": "the same",
    "rate limit": "the same",
    "token expired": "the same",
    "no code": "the same",
    "wrong secret": "the same",
    "untrusted ip": "the same",
    "refused recipients": "the same",
    "everyone {audience}": "a recipient as a program names it",
    "name of {person}": "the vendor's",
    "pragma wal_checkpoint(truncate)": "SQL",
    "pragma synchronous=off": "SQL",
    "pragma busy_timeout=0": "SQL",
    "multipart/form-data; boundary={boundary}": "a header",
    "module {name} has no attribute {name2}": "Python's own",
    "name {name}": "whose failed sign-ins are counted",
    "address {address}": "whose failed sign-ins are counted",
    "browser {id}": "whose failed sign-ins are counted",
    "exchange {token}": "whose failed sign-ins are counted",
    "hook started": "a step of a timeline",
    "hook done": "the same",
    "update_card enqueued": "the same",
    "update_card ended": "the same",
    " on http": "a mark in a line of a process",
    "known browser": "what a browser's cookie is a hash of",
    "oidc state": "what a sealed state is bound to",
    "`alter role ROLE set {name} = off`": "SQL",
}
"""Texts that are no sentences, and what they are."""
KINDS = ("argument", "option")
OF_PROBLEMS = [text for kind in PROBLEMS.values() for text in (kind.state, kind.remedy)]
CATALOGUES = (*WECOM.rows, WRONG_SECRET, *WEBHOOK.rows, *YOUDU.rows)


def _files() -> list[Path]:
    rooms = [*(WORKER / name for name in SPOKEN), *(SIMULATOR / name for name in SPOKEN_BY_THE_SIMULATOR)]
    files = [file for room in rooms for file in sorted(room.rglob("*.py")) or [room]]
    apart = [*(WORKER / name for name in APART), SQL_OF_THE_KIT]
    return [file for file in files if not any(map(file.is_relative_to, apart))]


def _files_among_sql() -> list[Path]:
    outbox = sorted((WORKER / "outbox").rglob("*.py"))
    return [*(file for file in outbox if file.parent.name != "tables"), SQL_OF_THE_KIT]


def test_every_sentence_has_its_chinese() -> None:
    """Of those in the rooms that are spoken; its shape is the entry, with a place for each value.

    In the outbox a sentence is told from SQL by what it says to do, behind a semicolon.
    """
    known = {
        english for _, named, words in tables() for english in (*named, *words.get("kit", ()), *words.get("help", ()))
    }

    missing = [
        f"{file.relative_to(ROOT)}:{line}: {text}"
        for file in _files()
        for line, text in sentences(file)
        if text not in known and text not in UNSAID
    ]
    missing += [
        f"{file.relative_to(ROOT)}:{line}: {text}"
        for file in _files_among_sql()
        for line, text in sentences(file)
        if "; " in text and text not in known
    ]
    missing += [text for text in OF_PROBLEMS if text not in known]

    assert missing == []


def test_the_rooms_and_those_apart_are_there() -> None:
    """A name that is gone, or mistyped, would leave sentences out."""
    assert [name for name in (*SPOKEN, *APART) if not (WORKER / name).exists()] == []
    assert [name for name in SPOKEN_BY_THE_SIMULATOR if not (SIMULATOR / name).exists()] == []


def test_every_errcode_is_told_in_chinese() -> None:
    """What it means, alone and as the reason of a part, and its remedy."""
    known = {english for _, named, _ in tables() for english in named}

    assert [row for row in CATALOGUES if not {row.meaning, row.remedy} <= known] == []
    assert [
        row
        for row in CATALOGUES
        if translate(f"{row.code} {row.meaning}", "zh") != f"{row.code} {translate(row.meaning, 'zh')}"
    ] == []


def test_every_entry_is_said_somewhere() -> None:
    """An entry of a sentence that is gone goes, too."""
    files = (file for package in (WORKER, SIMULATOR) for file in package.rglob("*.py"))
    told = {text for file in files for _, text in sentences(file)}
    told |= {text for row in CATALOGUES for text in (row.meaning, row.remedy)}
    told |= {*_of_typer(), *OF_PROBLEMS}

    assert [f"{table}: {english}" for table, named, _ in tables() for english in named if english not in told] == []


def _of_typer() -> Iterator[str]:
    """What Typer says, which a release of it may change, and Pydantic, whose texts are compiled."""
    for file in Path(typer.__file__).parent.rglob("*.py"):
        for _, text in sentences(file):
            plain = text.replace("!r}", "}")
            yield from (plain, plain.removesuffix("."), f" {plain}")
            yield from (plain.replace("{param_type}{param_hint}", kind + " {param_hint}") for kind in KINDS)
    between, within = core_schema.int_schema(ge=1, le=2), core_schema.int_schema(gt=1, lt=2)
    of_numbers = [
        (between, "x"),
        (between, 0),
        (between, 3),
        (core_schema.float_schema(), "x"),
        (within, 0),
        (within, 3),
    ]
    kinds = [core_schema.int_schema(), core_schema.float_schema(), core_schema.str_schema(), core_schema.bool_schema()]
    tables_too = [*kinds, core_schema.dict_schema(), core_schema.list_schema()]
    of_kinds: list[tuple[Any, object]] = [
        *((kind, []) for kind in kinds),
        *((kind, {}) for kind in tables_too[5:]),
        (tables_too[4], []),
    ]
    parsed = [(kinds[0], 1.5), (kinds[3], "x"), (core_schema.float_schema(allow_inf_nan=False), float("inf"))]
    for one, given in [*of_numbers, *of_kinds, *parsed]:
        with pytest.raises(ValidationError) as refused:
            SchemaValidator(one).validate_python(given)
        [error] = refused.value.errors()
        place = next((name for name in ("gt", "ge", "lt", "le") if name in error.get("ctx", {})), "")
        told = re.sub(r"\b[12]$", f"{{{place}}}", error["msg"])
        yield from (told, told[0].lower() + told[1:])
    yield "string should match pattern {pattern}"
    yield "Value error, {error}"


def test_an_entry_stands_in_one_table() -> None:
    """Two could differ."""
    times = Counter(english for _, named, _ in tables() for english in named)
    times += Counter(english for english, _ in set(errcodes()) - set(dict(errcodes()).items()))

    assert [english for english, count in times.items() if count > 1] == []


def test_both_languages_have_the_same_places() -> None:
    """Each value of a sentence is told in both; the Chinese is Chinese."""
    pairs = [pair for _, named, words in tables() for pair in (*named.items(), *words.get("kit", {}).items())]

    assert [en for en, zh in pairs if set(PLACE.findall(en)) != set(PLACE.findall(zh)) or en == zh] == []


def test_every_place_says_what_it_is() -> None:
    """Two values of one name would be told apart by a number, which says nothing to a translator."""
    assert [english for _, named, _ in tables() for english in named if re.search(r"[a-z][0-9]+\}", english)] == []


def test_each_command_of_the_audit_has_its_word() -> None:
    """Also those of the commands that enqueue."""
    sources = "".join(file.read_text(encoding="utf-8") for file in WORKER.rglob("*.py"))
    names = set(re.findall(r"audited\(\s*(?:person, )?\"([a-z_ ]+)\"", sources))

    assert {"send", "update_card", "cancel", "add account"} < names
    assert sorted(name for name in names if term("action", name, "zh") == name) == []
