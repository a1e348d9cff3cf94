"""Lists every sentence that the program says to a person: `python -m tools.sentences [TEXT]`.

Prints one line per sentence, English and Chinese side by side, with the table that has it; with TEXT only the lines
that contain it. Then come the log calls at WARNING and above, with their place, event and fixed texts. Read the list to
see whether each sentence says what happened, to what, and what to do.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.source import nodes
from worker.drawing import read_words
from worker.language import tables

ROOT = Path(__file__).parents[1]
PAGES = ("worker.console", "worker.drawing")
LOUD = ("warning", "error", "exception", "critical")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence in both languages."""

    source: str
    """The table that has it, or the place and level of a log call."""
    english: str
    chinese: str = ""
    """Empty for a log call: logs are English."""

    def __str__(self) -> str:
        return "\t".join(filter(None, (self.source, self.english, self.chinese)))


def translated() -> Iterator[Sentence]:
    """The sentences and single words of the language tables, and the words of the pages."""
    for table, sentences, words in tables():
        yield from (Sentence(table, english, chinese) for english, chinese in sentences.items())
        for sort, names in words.items():
            yield from (Sentence(f"{table}.{sort}", english, chinese) for english, chinese in names.items())
    for package in PAGES:
        for key, (chinese, english) in read_words(package).items():
            yield Sentence(f"{package.removeprefix('worker.')}: {key}", english, chinese)


def logged() -> Iterator[Sentence]:
    """The log calls of the program at WARNING and above, with the texts that stand in the call itself."""
    for path in sorted((ROOT / "worker").rglob("*.py")):
        for node in nodes(path):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "logger"), attr=level)) if level in LOUD:
                    texts = [
                        text for value in (*node.args, *(word.value for word in node.keywords)) for text in _text(value)
                    ]
                    yield Sentence(f"{path.relative_to(ROOT)}:{node.lineno} {level}", ": ".join(texts))


def _text(value: ast.expr) -> list[str]:
    return [value.value] if isinstance(value, ast.Constant) and isinstance(value.value, str) else []


def main(argv: list[str]) -> int:
    """Prints the list."""
    wanted = " ".join(argv)
    lines = [str(sentence) for sentence in (*translated(), *logged())]
    print("\n".join(line for line in lines if wanted in line))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
