"""Markdown by its blocks: what must stay whole when a text goes out as several messages, and what is code.

A fenced piece of code and a table are never cut; a heading goes with what it heads; a paragraph or list that is too
long alone is cut between its lines or words. Knows no vendor field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from worker.channels.checking import truncate
from worker.channels.checking.plain import byte_size
from worker.channels.checking.row import Prose

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}#{1,6} ")
_RULER = re.compile(r" *+\|?+ *+(:?+-++:?+ *+\| *+)++(:?+-++:?+ *+)?+\|?+ *+")
_BACKTICKS = re.compile("`+")


@dataclass(frozen=True, slots=True)
class Block:
    """Some lines that stand together, their line ends included."""

    text: str
    whole: bool = False
    """A table or a piece of code: torn, it would no longer be one."""
    heads: bool = False
    """It ends in a heading, which belongs to what follows."""


def pieces(text: str, most: int) -> list[str] | None:
    """The text in pieces of at most so many bytes; None when something that must stay whole is too long by itself."""
    found = _packed(_fitting(blocks(text), most), most)
    return None if any(byte_size(piece) > most for piece in found) else found


def blocks(text: str) -> Iterator[Block]:
    """The blocks in order; together they are the text."""
    lines = text.splitlines(keepends=True)
    at = 0
    while at < len(lines):
        end, whole = _block_end(lines, at)
        while end < len(lines) and not lines[end].strip():
            end += 1  # blank lines belong to what stands before them
        heads = bool(_HEADING.match(lines[at])) and not whole
        yield Block("".join(lines[at:end]), whole, heads)
        at = end


def without_code(text: str) -> str:
    """The text without fenced and inline code: what a client reads as markdown."""
    prose, out, at = without_fences(text), [], 0
    for start, end in inline_code(prose):
        out.append(prose[at:start])
        at = end
    return "".join([*out, prose[at:]])


def without_fences(text: str) -> str:
    """The text without fenced code."""
    return "".join(block.text for block in blocks(text) if not _FENCE.match(block.text))


def inline_code(text: str) -> list[tuple[int, int]]:
    """Where code stands in a text without fences: from one run of backticks to the next that is as long."""
    runs = [run.span() for run in _BACKTICKS.finditer(text)]
    nearest: dict[int, int] = {}
    closing = [0] * len(runs)
    for n in reversed(range(len(runs))):
        start, end = runs[n]
        closing[n] = nearest.get(end - start, n)
        nearest[end - start] = n
    found, n = [], 0
    while n < len(runs):
        if closing[n] > n:
            found.append((runs[n][0], runs[closing[n]][1]))
        n = closing[n] + 1
    return found


def _block_end(lines: Sequence[str], at: int) -> tuple[int, bool]:
    """Where the block that begins here ends, and whether it must stay whole."""
    if fence := _FENCE.match(lines[at]):
        return _fence_end(lines, at, fence[1]), True
    if _is_table(lines, at):
        return _run(lines, at, lambda n: "|" in lines[n]), True
    if _HEADING.match(lines[at]):
        return at + 1, False
    return _run(lines, at, lambda n: not _begins_another(lines, n)), False


def _fence_end(lines: Sequence[str], at: int, mark: str) -> int:
    """Behind the line that closes the code; an open one goes to the end of the text."""
    for n in range(at + 1, len(lines)):
        if lines[n].strip().startswith(mark) and not lines[n].strip().strip(mark[0]):
            return n + 1
    return len(lines)


def _is_table(lines: Sequence[str], at: int) -> bool:
    return "|" in lines[at] and at + 1 < len(lines) and _RULER.fullmatch(lines[at + 1].rstrip("\r\n")) is not None


def _begins_another(lines: Sequence[str], n: int) -> bool:
    return bool(_FENCE.match(lines[n]) or _HEADING.match(lines[n])) or _is_table(lines, n)


def _run(lines: Sequence[str], at: int, goes_on: Callable[[int], bool]) -> int:
    """The end of the lines from `at` that are not blank and go on."""
    end = at + 1
    while end < len(lines) and lines[end].strip() and goes_on(end):
        end += 1
    return end


def _fitting(found: Iterable[Block], most: int) -> Iterator[Block]:
    """Blocks as they are; a long one of prose in pieces that fit."""
    for block in found:
        if block.whole or byte_size(block.text) <= most:
            yield block
            continue
        pieces = truncate.pieces(block.text, most, byte_size, Prose.MARKDOWN)
        yield from [block] if pieces is None else (Block(piece) for piece in pieces)


def _packed(found: Iterable[Block], most: int) -> list[str]:
    """As few pieces as hold the blocks in order; a heading never ends one."""
    pieces: list[str] = []
    for group in _with_headings(found, most):
        if pieces and byte_size(pieces[-1]) + byte_size(group.rstrip()) <= most:
            pieces[-1] += group
        else:
            pieces.append(group)
    return [piece.strip("\n") for piece in pieces if piece.strip()]


def _with_headings(found: Iterable[Block], most: int) -> Iterator[str]:
    """Headings together with what they head, where both fit into one piece."""
    held = ""
    for block in found:
        joined = held + block.text
        if held and byte_size(joined.rstrip()) > most:
            yield held
            joined = block.text
        if not block.heads:
            yield joined
        held = joined if block.heads else ""
    if held:
        yield held
