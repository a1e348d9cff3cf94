"""The documents as values: every page, its fenced blocks, its headings and its links."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    language: str
    """The word behind the fence; empty where there is none."""
    text: str
    """What stands between the fences, with its last line end."""
    line: int
    """The line of the opening fence, from 1."""


@dataclass(frozen=True)
class Page:
    """One Markdown file of the project."""

    name: str
    """Its path from the root, such as `docs/index.md`."""
    root: Path = ROOT

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self.root / self.name

    @cached_property
    def text(self) -> str:
        """The whole file."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The fenced blocks, in order."""
        return tuple(
            Block(found[1], found[2], self.text.count("\n", 0, found.start()) + 1)
            for found in _FENCED.finditer(self.text)
        )

    def blocks_in(self, language: str) -> list[Block]:
        """The fenced blocks of one language, in order."""
        return [block for block in self.blocks if block.language == language]

    @property
    def prose(self) -> str:
        """The file without its fenced blocks and without code inside a line."""
        return re.sub(r"`[^`\n]*`", "", _FENCED.sub("", self.text))

    @property
    def anchors(self) -> list[str]:
        """The anchor of each heading, in order: the one it ends with (`{ #name }`), or as GitHub spells its words."""
        found: list[str] = []
        seen: Counter[str] = Counter()
        for heading in re.findall(r"^#+ (.+)$", _FENCED.sub("", self.text), flags=re.MULTILINE):
            if given := re.search(r" \{ #([\w-]+) \}$", heading):
                found.append(given[1])
                continue
            name = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
            found.append(f"{name}-{seen[name]}" if seen[name] else name)
            seen[name] += 1
        return found

    def links(self) -> Iterator[str]:
        """The targets of all links, in order; those of pictures too."""
        yield from re.findall(r"\]\(([^()\s]+)\)", self.prose)


def pages() -> list[Page]:
    """README.md and SECURITY.md in both languages, CONTRIBUTING.md and everything below docs/."""
    beside = ["README.md", "README.zh-CN.md", "CONTRIBUTING.md", "SECURITY.md", "SECURITY.zh-CN.md"]
    found = [*beside, *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").rglob("*.md")))]
    return [Page(name) for name in found]
