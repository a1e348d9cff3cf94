"""docs/glossary.md holds few words, and only words that the code and the other documents use."""

from __future__ import annotations

import re

from tests.docs.page import ROOT, Page, pages

GLOSSARY = Page("docs/glossary.md")
WORDS = re.findall(r"^\| ([a-z-]+) \| ", GLOSSARY.text, flags=re.MULTILINE)[1:]


def test_at_most_twelve_words_are_ours() -> None:
    """A thirteenth has to push one out; none stands there twice."""
    assert 12 >= len(WORDS) == len(set(WORDS)) > 0


def test_every_word_is_used() -> None:
    """In the code and in the documents, else its entry goes."""
    documents = " ".join(page.prose for page in pages() if page != GLOSSARY)
    code = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "worker").rglob("*.py"))

    unused = [word for word in WORDS for text in (documents, code) if not re.search(rf"\b{word}", text, re.IGNORECASE)]

    assert [] == unused


def test_every_entry_is_a_sentence_or_two() -> None:
    """Or three; more belongs on the page of its subject."""
    entries = re.findall(r"^\| [a-z-]+ \| (.+) \|$", GLOSSARY.text, flags=re.MULTILINE)[1:]

    assert [] == [entry for entry in entries if not entry.endswith(".") or len(re.findall(r"[.;:]( |$)", entry)) > 3]
