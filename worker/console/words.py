"""Every text of the console in Chinese and English, by key; a key is `page.name`."""

from __future__ import annotations

from worker.drawing import Lang, read_words

WORDS = read_words("worker.console")


def term(lang: Lang, key: str, **values: object) -> str:
    """Returns a text in one language, with the values filled in; KeyError for an unknown key."""
    chinese, english = WORDS[key]
    return (chinese if lang == "zh" else english).format(**values)
