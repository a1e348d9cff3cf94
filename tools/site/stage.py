"""Lays the pages of one language as the site's builder wants them: one folder, with links that stay inside it.

A page without a Chinese text stands in the Chinese site in English, below a note, so that links and the switch between
the languages always lead to a page. A link to a file that is no page (a program, a folder of the checkout) becomes its
text.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tools.site.navigation import BESIDE_DOCS, Language, pages

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
_FENCED = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$\n?", flags=re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_PICTURE = re.compile(r"(!\[[^\]]*\])\(([^()\s]+)\)")
_CODE = re.compile(r"(`+)(?:(?!\1).)+\1", flags=re.DOTALL)
NOT_YET = '!!! note ""\n\n    本页暂无中文版，以下为英文原文。\n\n'

_BESIDE = {
    (ROOT / file).with_suffix(suffix): page for page, file in BESIDE_DOCS.items() for suffix in (".md", ".zh-CN.md")
}
"""Files beside docs/, in both languages -> their pages."""


def source_of(page: str, language: Language) -> Path:
    """The file of a page; where it has no Chinese text, the English one."""
    english = ROOT / BESIDE_DOCS[page] if page in BESIDE_DOCS else DOCS / page
    chinese = DOCS / "zh" / page if page not in BESIDE_DOCS else english.with_suffix(".zh-CN.md")
    return chinese if language == "zh" and chinese.exists() else english


def lay(language: Language, folder: Path) -> None:
    """All pages and pictures of a language, into an empty folder."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(DOCS / "pictures", folder / "pictures")
    for name in pages():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(_text(name, language), encoding="utf-8")


def _text(page: str, language: Language) -> str:
    source = source_of(page, language)
    text = adapted(source.read_text(encoding="utf-8"), source, page)
    is_english = language == "zh" and source == source_of(page, "en")
    return re.sub(r"\A(# .*\n\n)", lambda title: title[1] + NOT_YET, text) if is_english else text


# -- a page's text ---------------------------------------------------------------------------------------------------


def adapted(text: str, source: Path, page: str) -> str:
    """A file's text with links as the site has them, and lists as the builder's Markdown reads them."""
    pieces, at = list[str](), 0
    for fence in _FENCED.finditer(text):
        pieces += [
            _prose(text[at : fence.start()], source, page),
            "" if fence[2] == "mermaid" else fence[0],  # of the README: the site has no program to draw it
        ]
        at = fence.end()
    return "".join([*pieces, _prose(text[at:], source, page)])


def _prose(text: str, source: Path, page: str) -> str:
    codes = list[str]()

    def kept(found: re.Match[str]) -> str:
        codes.append(found[0])
        return f"\0{len(codes) - 1}\0"

    text = _CODE.sub(kept, text)
    text = _LINK.sub(lambda found: _link(found[1], found[2], source, page), text)
    text = _PICTURE.sub(lambda found: f"{found[1]}({_place(found[2], source, page) or found[2]})", text)
    text = _with_lists_apart(text)
    # The forge wants a | of code in a table behind a backslash, which this Markdown would show.
    return re.sub(r"\0(\d+)\0", lambda found: codes[int(found[1])].replace(r"\|", "|"), text)


def _link(text: str, target: str, source: Path, page: str) -> str:
    if "://" in target or target.startswith("#"):
        return f"[{text}]({target})"
    place = _place(target, source, page)
    return f"[{text}]({place})" if place else text


def _place(target: str, source: Path, page: str) -> str | None:
    """Where the site has what a link of a file leads to, as seen from a page; None: it does not have it."""
    file, _, anchor = target.partition("#")
    path = (source.parent / file).resolve()
    name = _name_of(path)
    if name is None:
        return None
    here = os.path.relpath(name, Path(page).parent)
    return f"{here}#{anchor}" if anchor else here


def _name_of(path: Path) -> str | None:
    if path in _BESIDE:
        return _BESIDE[path]
    if not path.is_relative_to(DOCS):
        return None
    inside = path.relative_to(DOCS / "zh" if path.is_relative_to(DOCS / "zh") else DOCS)
    return inside.as_posix() if inside.suffix in (".md", ".png") else None


def _with_lists_apart(text: str) -> str:
    """A blank line before each list, and twice the indent inside: what this Markdown wants and the forge's does not."""
    lines = list[str]()
    for line in text.split("\n"):
        is_item = re.match(r" *(?:[-*]|\d+\.) ", line)
        if is_item and lines and lines[-1].strip() and not re.match(r" *(?:[-*]|\d+\.) |  +\S", lines[-1]):
            lines.append("")
        lines.append(line)
    return "\n".join(lines)
