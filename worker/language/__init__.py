"""Says in Chinese what the program says in English, and which of the two a person reads.

Every sentence is written in English where it is raised, stored or logged. The tables in `zh/` have its Chinese by that
English, with `{...}` for each value that was put into it: a sentence is found by its shape when it is shown. So what
is stored stays one language, and what was stored long ago can be shown in the other. A sentence without an entry
stays English. Knows no room; `tests/unit/test_language.py` holds the tables against the sentences of all of them.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Literal

Lang = Literal["en", "zh"]

PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
"""Where a value stands in an entry; any other brace is itself."""

_SETTLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_FEWEST = 3
"""Fewest letters of its own by which an entry with places can be found."""
_MOST = 12
"""Most sentences that one was put together of; more of them are taken for a list of names."""
_WORDS = re.compile(r" [a-z]")
_FIRST = r"(?=\S)(?:(?![:;] ).)*?"
"""A value with which a sentence begins, and whose words go on behind it: no other sentence stands before those."""
_CODED = re.compile(r"(-?[0-9]+ +)(\S.*)", re.DOTALL)
"""A vendor's code and what it means."""
_ASIDE = re.compile(r"(.*\S)( \((?:[^()]|\([^()]*\))*\))", re.DOTALL)


def language() -> Lang:
    """The language of the person at the terminal: `WORKER_LANG`, or else that of the system's locale."""
    return _named_by("WORKER_LANG", *_SETTLES)


def chosen() -> Lang:
    """The language that `WORKER_LANG` names: English without it, for a library does not ask the system's locale."""
    return _named_by("WORKER_LANG")


def _named_by(*variables: str) -> Lang:
    """By the first of these variables that says anything."""
    given = next(filter(None, map(os.environ.get, variables)), "")
    return "zh" if given.lower().startswith("zh") else "en"


def said(text: str, lang: Lang | None = None) -> str:
    """The text in a language, by default that of the person at the terminal; line by line, and English is itself."""
    if (lang or language()) == "en":
        return text
    alone = _book().words["alone"]
    return "\n".join(alone.get(line) or _line(line) for line in text.split("\n"))


def word(of: str, name: str, lang: Lang | None = None) -> str:
    """A single word, such as a state's, of one sort; one that is not in the tables is itself."""
    return _book().words.get(of, {}).get(name, name) if (lang or language()) == "zh" else name


@dataclass(frozen=True, slots=True)
class _Entry:
    """A sentence with places, as a pattern, and its Chinese."""

    own: str
    """The longest of the texts between its places: a text without it is no such sentence."""
    shape: str
    """A pattern, compiled when a text has `own`: most of them no process ever needs."""
    places: tuple[str, ...]
    chinese: str


@dataclass(frozen=True, slots=True)
class _Book:
    exact: Mapping[str, str]
    entries: tuple[_Entry, ...]
    """With the most letters of its own first."""
    words: Mapping[str, Mapping[str, str]]


def tables() -> Iterator[tuple[str, Mapping[str, str], Mapping[str, Mapping[str, str]]]]:
    """Each table: its name, its sentences, and its words by their sort."""
    for file in sorted(files(__name__).joinpath("zh").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            table = tomllib.loads(file.read_text(encoding="utf-8"))
            words = table.pop("words", {})
            yield file.name.removesuffix(".toml"), table, words


@cache
def _book() -> _Book:
    exact: dict[str, str] = {}
    words: dict[str, dict[str, str]] = {}
    for _, sentences, sorts in tables():
        exact.update(sentences)
        for sort, named in sorts.items():
            words.setdefault(sort, {}).update(named)
    tails = _any_of(english for english in exact if english[0] in " ,;")
    found = [_entry(english, chinese, tails) for english, chinese in exact.items() if PLACE.search(english)]
    able = [entry for letters, entry in sorted(found, key=lambda one: -one[0]) if letters >= _FEWEST]
    return _Book(exact, tuple(able), words)


def _any_of(tails: Iterable[str]) -> str:
    shapes = ("[^,;]*?".join(re.escape(own) for own in PLACE.split(tail)[::2]) for tail in tails)
    return f"(?:{'|'.join(sorted(shapes, key=len, reverse=True))})?"


def _entry(english: str, chinese: str, tails: str) -> tuple[int, _Entry]:
    """The entry, and how many letters it has of its own. Right behind another place stands a tail, or nothing."""
    pieces = PLACE.split(english)
    own, places = pieces[::2], pieces[1::2]
    shape = re.escape(own[0])
    for n, text in enumerate(own[1:]):
        anything = tails if n and not own[n] else ".*?" if shape else _FIRST if _WORDS.match(text) else r"\S.*?"
        shape += f"({anything}){re.escape(text)}"
    return sum(map(str.isalpha, "".join(own))), _Entry(max(own, key=len), shape, tuple(places), chinese)


@cache
def _compiled(shape: str) -> re.Pattern[str]:
    return re.compile(shape, re.DOTALL)


@lru_cache(maxsize=4096)
def _line(text: str) -> str:
    """One sentence, or several that were put together, as far as they are known."""
    book = _book()
    if text in book.exact:
        return book.exact[text]
    if (coded := _CODED.fullmatch(text)) and coded[2] in book.exact:
        return coded[1] + book.exact[coded[2]]
    for entry in book.entries:
        if entry.own in text and (found := _compiled(entry.shape).fullmatch(text)):
            values = dict(zip(entry.places, found.groups(), strict=True))
            return _filled(entry.chinese, values)
    return _in_pieces(text)


def _filled(chinese: str, values: Mapping[str, str]) -> str:
    words = _book().words
    told = {name: words.get(name, {}).get(value) or _line(value) for name, value in values.items()}
    return PLACE.sub(lambda place: told[place[1]], chinese)


def _in_pieces(text: str) -> str:
    """What was put together of sentences: with an indent, with something in brackets, by semicolons, behind a colon."""
    blank = len(text) - len(text.lstrip(" "))
    if blank:
        return text[:blank] + _line(text[blank:]) if blank < len(text) else text
    if (aside := _ASIDE.fullmatch(text)) and (told := _line(aside[1]) + _line(aside[2])) != text:
        return told
    pieces = text.split("; ")
    if len(pieces) > _MOST or text.count(", ") > _MOST:
        return text
    for end in range(len(pieces) - 1, 0, -1):
        first, rest = "; ".join(pieces[:end]), "; ".join(pieces[end:])
        if (told := _line(first)) != first or end == 1:
            behind = _line(rest)
            if (told, behind) != (first, rest):
                return f"{told}；{behind}"
    head, colon, rest = text.partition(": ")
    if colon and (told := _line(rest)) != rest:
        words, whole = _book().words, _line(f"{head}: ")
        named = words["state"].get(head) or words["head"].get(head)
        return f"{named or whole.removesuffix(': ').removesuffix('：')}：{told}"
    first, comma, rest = text.partition(", ")
    told, behind = (_line(first), _line(rest)) if comma else (text, "")
    return f"{told}，{behind}" if comma and (told, behind) != (first, rest) else text
