"""Every word of the console in Chinese and English, by key; a key is `page.word`."""

from __future__ import annotations

from worker.drawing import Lang, read_words

WORDS = read_words("worker.console")


def say(lang: Lang, key: str, **values: object) -> str:
    """A word in one language; KeyError for a key that there is not."""
    chinese, english = WORDS[key]
    return (chinese if lang == "zh" else english).format(**values)
