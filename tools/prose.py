"""Holds docstrings, comments and documents to plain sentences: `python -m tools.prose FOLDER...`.

Four habits are refused: a docstring that begins with a pronoun instead of a noun ("Those that wait."), words for people
where a thing is meant, a docstring that goes on with the sentence of the one before it, and `null` for Python's None
(SQL's is NULL). The Markdown pages of a folder, but not of the folders in it, are held to the second one. Each is named
with its place; code in backticks, in fenced blocks and text in double quotes is free. `make check` runs it.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from pathlib import Path

PEOPLE = re.compile(r"\b(?:nobody|somebody|anybody|everybody|whoever|his|him|the dead|the living)\b", re.IGNORECASE)
PRONOUN = re.compile(r"(?:Those|These|Who|Whose|Whoever)\b")
GOES_ON = re.compile(r"(?:and|or|but|nor|which|how|up|as)\b|\.\.\.")
NULL = re.compile(r"\bnull\b")
QUOTED = re.compile(r"``?[^`]*``?|\"[^\"]*\"")
ROOMS_WITH_REASONS = ("worker/delivery", "worker/outbox")
LEAST_COMMENTS = 0.03
"""Of the lines of these rooms that are not blank: a reason is told where it is needed."""


def habits(source: str) -> Iterator[tuple[int, str]]:
    """The line of each docstring or comment with one of the habits, and what is wrong with it."""
    for line, text in docstrings(source):
        if PRONOUN.match(text):
            yield line, f"begins without a noun: {text.split()[0]!r}"
        if GOES_ON.match(text):
            yield line, f"goes on with another docstring's sentence: {text[:20]!r}"
    for line, text in (*docstrings(source), *comments(source)):
        plain = QUOTED.sub("", text)
        for found in PEOPLE.findall(plain):
            yield line, f"a person for a thing: {found!r}"
        if NULL.search(plain):
            yield line, "'null' is None in Python and NULL in SQL"


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of the strings that explain a module, class, function or value."""
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            match statement:
                case ast.Expr(ast.Constant(str() as text)):
                    yield statement.lineno, text


def comments(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of the comments, without those that speak to a tool."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        text = token.string.lstrip("# ")
        if token.type == tokenize.COMMENT and not text.startswith(("noqa", "type:", "--", "pragma")):
            yield token.start[0], text


def people(page: str) -> Iterator[tuple[int, str]]:
    """The line of each word for people in a Markdown page, outside its fenced blocks, and what is wrong with it."""
    fenced = False
    for number, line in enumerate(page.splitlines(), 1):
        fenced ^= line.startswith("```")
        if not fenced:
            yield from ((number, f"a person for a thing: {found!r}") for found in PEOPLE.findall(QUOTED.sub("", line)))


def share_of_comments(sources: Iterable[str]) -> float:
    """Lines that are comments, of all that are neither blank nor a rule between sections."""
    lines = [line.strip() for source in sources for line in source.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("# --")]
    return sum(line.startswith("#") for line in lines) / len(lines)


def main(folders: list[str]) -> int:
    """Prints what it finds; 0 when that is nothing."""
    files = sorted(path for folder in folders for path in Path(folder).rglob("*.py"))
    pages = sorted(path for folder in folders for path in Path(folder).glob("*.md"))
    checked = [*((path, habits) for path in files), *((path, people) for path in pages)]
    found = [f"{path}:{line}: {what}" for path, check in checked for line, what in check(path.read_text("utf-8"))]
    for room in ROOMS_WITH_REASONS:
        share = share_of_comments(path.read_text(encoding="utf-8") for path in Path(room).rglob("*.py"))
        if share < LEAST_COMMENTS:
            found.append(f"{room}: {share:.1%} of its lines are comments, at least {LEAST_COMMENTS:.0%} are expected")
    print("\n".join(found) or f"prose: {len(checked)} files, nothing found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
