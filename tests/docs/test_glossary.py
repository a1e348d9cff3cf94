"""docs/glossary.md holds few words, all of them used; both languages keep to its list of terms."""

from __future__ import annotations

import re

from tests.docs.page import ROOT, Page, pages

GLOSSARY = Page("docs/glossary.md")
WORDS = re.findall(r"^\| ([a-z -]+) \| ", GLOSSARY.text, flags=re.MULTILINE)[1:]


def pairs(page: Page) -> list[tuple[str, str]]:
    """The rows of the term list."""
    return re.findall(r"^\| ([^|]*[\u4e00-\u9fff][^|]*) \| ([^|]+) \|$", page.text, flags=re.MULTILINE)[1:]


PAIRS = pairs(GLOSSARY)
"""Chinese and English of the term list."""
ALSO_PLAIN = {
    "hold",
    "held",
    "release",
    "token",
    "queue",
    "limit",
    "room",
    "refused",
    "rejected",
    "unknown",
    "in doubt",
}
ALSO_PLAIN |= {
    "job",
    "outcome",
    "failure",
    "offer",
    "mark",
    "claim",
    "permit",
    "probe",
    "credential",
    "attempt",
    "card update",
    "resume",
    "pause",
}
"""English words of the list that pages use in their everyday sense, too."""
NOT_OURS = (
    *(
        "作业",
        "供应商",
        "渠道",
        "账户",
        "帐户",
        "泳道",
        "收件人",
        "接收人",
        "接收者",
        "生产者",
        "入队",
        "消息代理",
        "召回",
        "重播",
    ),
    *("租客", "预演", "收据", "限流", "应用程序", "断路器", "慢起动", "漂移", "挂钩"),
)
"""Words that others have for what the list names."""
CHINESE = [page for page in pages() if page.name.startswith("docs/zh/") or ".zh-CN." in page.name]
TABLES = [
    Page(str(path.relative_to(ROOT)))
    for room in ("worker/language/zh", "tools/reference/zh")
    for path in sorted((ROOT / room).glob("*.toml"))
]


def chinese(terms: str) -> list[str]:
    """The words of a cell, of which each may be used."""
    return [word.removeprefix("简称") for word in re.split("[，、]", terms)]


def english(terms: str) -> list[str]:
    """The words of a cell that mean nothing else, without what explains them."""
    words = re.split("[,;]", re.sub(r"\([^)]*\)|`", "", terms))
    return [word.strip() for word in words if word.strip() not in ALSO_PLAIN]


def test_both_languages_have_one_list() -> None:
    """Row for row."""
    assert pairs(Page("docs/zh/glossary.md")) == PAIRS
    assert 50 < len(PAIRS)


def test_a_chinese_page_has_the_words_of_the_list() -> None:
    """Of each term that its English page uses three times."""
    lacking = {page.name: _words_lacking(page) for page in CHINESE if "/reference/" not in page.name}

    assert {name: words for name, words in lacking.items() if words} == {}


def _words_lacking(page: Page) -> list[str]:
    said = Page(page.name.replace("docs/zh/", "docs/", 1).replace(".zh-CN", "")).prose
    return [
        word
        for terms, of in PAIRS
        for word in english(of)
        if len(re.findall(rf"\b{word}s?\b", said, re.IGNORECASE)) > 2
        and not any(one in page.text for one in chinese(terms))
    ]


def test_no_chinese_text_has_another_word_for_the_same() -> None:
    """Pages, what the commands and the console say, and the reference."""
    assert [(page.name, word) for page in (*CHINESE, *TABLES) for word in NOT_OURS if word in page.prose] == []


def test_every_word_is_used() -> None:
    """In the code and in the documents, else its entry goes."""
    documents = " ".join(page.prose for page in pages() if page != GLOSSARY)
    code = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "worker").rglob("*.py"))

    unused = [word for word in WORDS for text in (documents, code) if not re.search(rf"\b{word}", text, re.IGNORECASE)]

    assert unused == []
