"""Says in Chinese what the program says in English, and which of the two a person reads.

Every sentence is written in English where it is raised, stored or logged. The tables in `zh/` have its Chinese by that
English, with `{...}` for each value that was put into it: a sentence is found by its shape when it is shown. So what
is stored stays one language, and what was stored long ago can be shown in the other. A sentence without an entry
stays English. Knows no room; `tests/structure/test_both_languages.py` holds the tables against the sentences of all
of them.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import chain
from typing import Literal, TypeVar

Lang = Literal["en", "zh"]
E = TypeVar("E", bound=Exception)

PLACE = re.compile(r"\{([a-z][a-z0-9_]*)\}")
"""Where a value stands in an entry; any other brace is itself."""

_SETTLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_FEWEST = 3
"""Fewest letters of its own by which an entry with places can be found."""
_MOST = 12
"""Most sentences that one was put together of; more of them are taken for a list of names."""
_MOST_IN_ALL = 24
"""Most marks between sentences of a text, of all kinds together."""
_LONGEST = 64 * 1024
"""Characters of a line that is looked up; a longer one is no sentence of ours."""
_LONGEST_PART = 1_000
"""Characters of a line that may be several sentences, and of a value that may be one."""
_MOST_LINES = 200
"""Lines of a text that are looked up."""
_TRIES = 256
"""Places that are tried for the ends of a sentence's values. Each takes a search, and no sentence of ours needs ten."""
_WORDS = re.compile(r" [a-z]")
_OTHERS = re.compile(r"[:;] ")
"""What ends other sentences: no value has it behind which the words of its sentence go on."""
_LISTED = re.compile(r"[,;]")
_WORD = re.compile(r"[A-Za-z]+")
_OWN_WORD = re.compile(r"(?<=[^A-Za-z])[A-Za-z]+(?=[^A-Za-z])")
_TAIL = re.compile(r"[ ,;]")
"""What a sentence begins with that stands behind another."""
_CODED = re.compile(r"(-?[0-9]+ +)(\S.*)", re.DOTALL)
"""A vendor's code and what it means."""
_COUNT = re.compile(r"([0-9][0-9,]*) ([a-z][a-z _]*)")
"""A number with its noun, as `plural` writes them."""
_REMEDY, _BRACKET = "；", "）"
_FIELD = re.compile(r"([\w./\[\]-]+(?: or [A-Z0-9_]+)*): ")
"""The name of a setting, a file or a field, behind which a sentence about it stands."""
_COMMAND = re.compile(r"worker [a-z-]+(?! [0-9]+(?![\w-]))( ([^:]|:(?! ))*)?")
"""A command of ours, which is typed as it stands; with a number behind the name it is a host's worker process."""
_CHINESE = re.compile("[\u4e00-\u9fff]")
_NEXT_ASIDE = re.compile(r"[^()]*\) \(")
"""A value that ends the brackets of its sentence and begins others: it is two of them."""
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


def translate(text: str, lang: Lang | None = None) -> str:
    """Returns the text in a language, by default that of the person at the terminal; English stays as it is."""
    if (lang or language()) == "en":
        return text
    words, lines = _book().words, text.split("\n")
    alone, reasons = words["alone"], words["reason"]
    told = [alone.get(line) or reasons.get(line) or _line_of_others(line) for line in lines[:_MOST_LINES]]
    return "\n".join([*told, *lines[_MOST_LINES:]])


def _line_of_others(text: str) -> str:
    """A line, in which a vendor's text may stand; as it is where that looks like hundreds of our sentences."""
    try:
        return _line(text) if len(text) <= _LONGEST_PART else (len(text) <= _LONGEST and _whole(text)) or text
    except RecursionError:
        return text


def term(of: str, name: str, lang: Lang | None = None) -> str:
    """Returns a single word, such as the name of a state; a word that is not in the tables stays as it is."""
    return _book().words.get(of, {}).get(name, name) if (lang or language()) == "zh" else name


def plural(count: int, noun: str) -> str:
    """The count with its noun: "1 job", "2 jobs". The Chinese of the nouns is in `words.plural`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def chinese_note(told: Callable[[Lang], str]) -> list[str]:
    """The note below an error's English text, where there is one."""
    return [told("zh")] if chosen() == "zh" else []


def with_chinese_note(error: E, told: Callable[[Lang], str] | None = None) -> E:
    """The error itself; where `WORKER_LANG=zh`, a traceback has the Chinese below its text, which stays English."""
    if chosen() == "zh":
        error.add_note(told("zh") if told else translate(str(error), "zh"))
    return error


@dataclass(frozen=True, slots=True)
class _Entry:
    """A sentence with places, as a pattern, and its Chinese."""

    own: str
    """The longest of the texts between its places: a text without it is no such sentence."""
    texts: tuple[str, ...]
    """The texts before, between and behind its places."""
    places: tuple[str, ...]
    chinese: str


@dataclass(frozen=True, slots=True)
class _Book:
    exact: Mapping[str, str]
    entries: tuple[_Entry, ...]
    """With the most letters of its own first."""
    by_word: Mapping[str, Sequence[int]]
    """Places among the entries by a word that each has; below an empty word those without one."""
    tails: tuple[tuple[str, ...], ...]
    """The texts around the places of each sentence that stands behind others."""
    words: Mapping[str, Mapping[str, str]]


def tables() -> Iterator[tuple[str, Mapping[str, str], Mapping[str, Mapping[str, str]]]]:
    """Each table: its name, its sentences, and its words by their sort; what errcodes mean is a table of its own."""
    yield "errcodes", dict(errcodes()), {}
    for file in sorted(files(__name__).joinpath("zh").iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            table = tomllib.loads(file.read_text(encoding="utf-8"))
            words = table.pop("words", {})
            yield file.name.removesuffix(".toml"), table, words


def errcodes() -> Iterator[tuple[str, str]]:
    """English and Chinese of what the codes in the channels' catalogues mean, and of what to do about them."""
    for folder in sorted(files("worker").joinpath("channels").iterdir(), key=lambda folder: folder.name):
        if (file := folder / "errcodes.toml").is_file():
            for table in tomllib.loads(file.read_text(encoding="utf-8")).values():
                for texts in (row for row in table.values() if isinstance(row, list)):
                    yield from zip(texts[::2], texts[1::2], strict=True)


@cache
def _book() -> _Book:
    exact: dict[str, str] = {}
    words: dict[str, dict[str, str]] = {}
    for _, sentences, sorts in tables():
        exact.update(sentences)
        for sort, named in sorts.items():
            words.setdefault(sort, {}).update(named)
    tails = [tuple(PLACE.split(english)[::2]) for english in exact if _TAIL.match(english)]
    # What begins with its own blank is found by fewer: no other text does.
    found = [
        _entry(english, chinese)
        for english, chinese in exact.items()
        if PLACE.search(english) and _letters(english) >= _FEWEST - english.startswith(" ")
    ]
    able = [entry for _, entry in sorted(found, key=lambda one: one[0], reverse=True)]
    by_word: dict[str, list[int]] = {}
    for number, entry in enumerate(able):
        by_word.setdefault(max(_OWN_WORD.findall(entry.own), key=len, default=""), []).append(number)
    return _Book(exact, tuple(able), by_word, tuple(tails), words)


def _entry(english: str, chinese: str) -> tuple[tuple[int, int, int], _Entry]:
    """The entry, and by what it goes before others: letters and characters of its own, few places."""
    pieces = PLACE.split(english)
    own, places = pieces[::2], pieces[1::2]
    rank = (_letters(english), len("".join(own)), -len(places))
    return rank, _Entry(max(own, key=len), tuple(own), tuple(places), chinese)


def _letters(english: str) -> int:
    return sum(map(str.isalpha, "".join(PLACE.split(english)[::2])))


def _values(texts: Sequence[str], text: str) -> list[str] | None:
    """What stands in the places of a sentence, as short as possible from the left; None: the text is not that sentence.

    Takes time in proportion to the text. A pattern would take a power of it, in one step that no other thread can
    interrupt, and the text may be a stranger's.
    """
    if not (text.startswith(texts[0]) and text.endswith(texts[-1])) or (not texts[0] and text[:1].isspace()):
        return None
    return _from(text, len(texts[0]), texts[1:], iter(range(_TRIES)), behind=False)


def _from(text: str, at: int, texts: Sequence[str], tries: Iterator[int], *, behind: bool) -> list[str] | None:
    """The values from a place on, which `texts` follow. `behind`: right behind another stands a tail, or nothing."""
    own, rest = texts[0], texts[1:]
    others = _OTHERS.search(text, at) if _WORDS.match(own) and not behind else None
    for end in _ends(text, at, own, rest):
        if (others and end > others.start()) or next(tries, None) is None:
            return None
        value = text[at:end]
        if behind and value and not any(_is_tail(tail, value) for tail in _book().tails):
            continue
        if not rest:
            return [value]
        if (found := _from(text, end + len(own), rest, tries, behind=not own)) is not None:
            return [value, *found]
    return None


def _ends(text: str, at: int, own: str, rest: Sequence[str]) -> Iterator[int]:
    """Where a value from `at` on may end, nearest first: before the next text, or where a tail may begin."""
    if not rest:
        if at <= len(text) - len(own):
            yield len(text) - len(own)
    elif own:
        end = text.find(own, at)
        while end >= 0:
            yield end
            end = text.find(own, end + 1)
    else:
        following = next(filter(None, rest), None)
        mark = re.compile(f"{_TAIL.pattern}|{re.escape(following)}" if following else rf"{_TAIL.pattern}|\Z")
        yield from (match.start() for match in mark.finditer(text, at))


def _is_tail(texts: Sequence[str], value: str) -> bool:
    if len(texts) == 1:
        return value == texts[0]
    found = _values(texts, value) if value.startswith(texts[0]) else None
    return found is not None and not any(map(_LISTED.search, found))


@lru_cache(maxsize=4096)
def _line(text: str) -> str:
    """One sentence, or several that were put together, as far as they are known."""
    if len(text) > _LONGEST_PART or _COMMAND.fullmatch(text):
        return text
    return _whole(text) or _in_pieces(text)


def _whole(text: str, holds: str = "") -> str | None:
    """One sentence; None: the text is none, as a whole. `holds` is what the Chinese of its entry must have."""
    book = _book()
    if text in book.exact:
        return book.exact[text]
    if (counted := _COUNT.fullmatch(text)) and (noun := book.words["plural"].get(counted[2].removesuffix("s"))):
        return f"{counted[1]} {noun}"
    if (coded := _CODED.fullmatch(text)) and coded[2] in book.exact:
        return coded[1] + book.exact[coded[2]]
    words = {"", *_WORD.findall(text)} & book.by_word.keys()
    for entry in (book.entries[number] for number in sorted(chain.from_iterable(book.by_word[word] for word in words))):
        if holds not in entry.chinese or entry.own not in text:
            continue
        found = _values(entry.texts, text)
        if found is not None and not any(map(_NEXT_ASIDE.match, found)):
            return _filled(entry.chinese, dict(zip(entry.places, found, strict=True)))
    return None


def _filled(chinese: str, values: Mapping[str, str]) -> str:
    words = _book().words
    told = {name: words.get(name, {}).get(value) or _line(value) for name, value in values.items()}
    for name in (name for name, value in told.items() if value != values[name] and _CHINESE.match(value)):
        chinese = re.sub(rf"(?<={_CHINESE.pattern}) (?=\{{{name}\}})", "", chinese)
    return PLACE.sub(lambda place: told[place[1]], chinese)


def _in_pieces(text: str) -> str:
    """What was put together of sentences: with an indent, with something in brackets, by semicolons, behind a colon."""
    blank = len(text) - len(text.lstrip(" "))
    if blank:
        return text[:blank] + _line(text[blank:]) if blank < len(text) else text
    marks = [text.count(mark) for mark in ("; ", ", ", ": ", " (")]
    if max(marks) > _MOST or sum(marks) > _MOST_IN_ALL:
        return text
    pieces = text.split("; ")
    if (known := _behind_field(text) or _before_brackets(pieces)) is not None:
        return known
    if (aside := _ASIDE.fullmatch(text)) and (told := _line(aside[1]) + _line(aside[2])) != text:
        return told
    if (sides := _by_semicolons(pieces)) is not None:
        return sides
    head, colon, rest = text.partition(": ")
    if colon and (told := _line(rest)) != rest:
        words, whole = _book().words, _line(f"{head}: ")
        named = words["state"].get(head) or words["head"].get(head) or (_WORDS.search(head) and _whole(head))
        return f"{named or whole.removesuffix(': ').removesuffix('：')}：{told}"
    return _by_commas(text.split(", ")) or text


def _behind_field(text: str) -> str | None:
    """A sentence with its remedy, behind the names of what it is about; None: there is none.

    It goes before its halves: the remedy alone may look like another sentence.
    """
    if (field := _FIELD.match(text)) is None:
        return None
    rest, words = text[field.end() :], _book().words
    told = _book().exact.get(rest) or _whole(rest, _REMEDY) or _whole(rest, _BRACKET) or _behind_field(rest)
    return (
        told
        and f"{words['state'].get(field[1]) or words['head'].get(field[1]) or field[1].replace(' or ', ' 或 ')}：{told}"
    )


def _before_brackets(pieces: Sequence[str]) -> str | None:
    """A remedy that ends with brackets of its own, which are no aside, and what is before it; None: there is none."""
    for end in range(1, len(pieces)):
        if pieces[-1].endswith(")") and (told := _whole("; ".join(pieces[end:]), _BRACKET)):
            return f"{_line('; '.join(pieces[:end]))}；{told}"
    return None


def _by_semicolons(pieces: Sequence[str]) -> str | None:
    """The two sides of a semicolon, one of them a sentence, which may have semicolons too; None: neither is."""
    ends = range(1, len(pieces))
    sides = [("; ".join(pieces[:end]), "; ".join(pieces[end:])) for end in ends]
    for first, rest in reversed(sides):
        if told := _whole(first):
            return f"{told}；{_line(rest)}"
    for first, rest in sides:
        if told := _whole(rest):
            return f"{_line(first)}；{told}"
    for first, rest in sides[:1]:
        if (both := (_line(first), _line(rest))) != (first, rest):
            return "；".join(both)
    return None


def _by_commas(pieces: Sequence[str]) -> str | None:
    """A sentence, which may have commas of its own, and what is told beside it; None: there is none."""
    for end in range(len(pieces) - 1, 0, -1):
        rest = ", ".join(pieces[end:])
        if told := _whole(", ".join(pieces[:end])):
            return f"{told}，{_line(rest)}"
        if end == 1 and (behind := _line(rest)) != rest:
            return f"{pieces[0]}，{behind}"
    return None
