"""What the reference says, in English and in Chinese.

The English is that of the program: docstrings, help of options, a line of a page here. The tables in `zh/` have its
Chinese by that English, so that a text which was changed lacks its Chinese until that was looked at, too. What the
command line says of itself in Chinese is the program's own.
"""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from tools.site.navigation import Language
from worker.language import tables, translate

_CODE = re.compile(r"`[^`]+`|\[[^\]]+\]")
"""What is the same in both languages."""
TABLES = Path(__file__).parent / "zh"


class Voice:
    """Says the texts of one page in one language, and keeps what it said and what it could not say."""

    def __init__(self, language: Language):
        self.language = language
        self.said = set[str]()
        self.missing = list[str]()
        self._anchors = Counter[str]()

    def __call__(self, english: str, *values: object) -> str:
        """The text in this language, in one line; `{}` stands for each value."""
        template = " ".join(english.split())
        if _CODE.fullmatch(template):
            return template.format(*values) if values else template
        self.said.add(template)
        if self.language == "zh" and template not in chinese():
            self.missing.append(template)
        text = chinese().get(template, template) if self.language == "zh" else template
        return text.format(*values) if values else text

    def listed(self, texts: Iterable[str]) -> str:
        """Texts of this language, one after the other."""
        return (", " if self.language == "en" else "、").join(texts)

    def explained(self, meaning: str, *facts: str) -> str:
        """A cell with a meaning, and below it what else is known, in this language; an empty one is left out."""
        below = ("; " if self.language == "en" else "；").join(filter(None, facts))
        return "<br>".join(filter(None, (meaning, below)))

    def default(self, shown: str) -> str:
        """What is said of a default; empty where there is none."""
        return self("default {}", shown) if shown else ""

    def title(self, level: int, english: str, *values: object) -> str:
        """A heading; the Chinese one has the anchor of the English one, which the forge numbers when it comes again."""
        text = f"{'#' * level} {self(english, *values)}"
        anchor = anchor_of(english.format(*values) if values else english)
        times, self._anchors[anchor] = self._anchors[anchor], self._anchors[anchor] + 1
        number = f"-{times}" if times else ""
        return f"{text} {{ #{anchor}{number} }}\n" if self.language == "zh" and level > 1 else f"{text}\n"

    def table(self, head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
        """A table; its cells are as they are to be shown."""
        titles = [self(one) for one in head]
        lines = [titles, ["---"] * len(titles), *rows]
        return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def told(say: Voice, text: str) -> str:
    """A text of the program itself, whose Chinese is in `worker.language`."""
    found = translate(text, say.language)
    if say.language == "zh" and found == text:
        say.missing.append(text)
    return " ".join(found.split())


def anchor_of(heading: str) -> str:
    """The name under which a heading is linked to, as the forge makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@cache
def chinese() -> dict[str, str]:
    """All texts of the tables."""
    return {english: text for _, english, text in entries()}


def entries() -> Iterator[tuple[str, str, str]]:
    """The name of the table, the English and the Chinese of each text."""
    for name, _, words in tables():
        for english, text in words.get("help", {}).items():
            yield name, english, text
    for path in sorted(TABLES.glob("*.toml")):
        for english, text in tomllib.loads(path.read_text(encoding="utf-8")).items():
            yield path.name, english, text
