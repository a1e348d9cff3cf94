"""Words of pages in Chinese and English, out of the `words.toml` of a package: labels, marks, what `altered` means.

Does not know a message.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from importlib.resources import files

from worker.drawing.shown import Lang

Words = Mapping[str, tuple[str, str]]
"""Chinese and English by key; `{...}` are filled in."""
Say = Callable[..., str]


def read_words(package: str) -> Words:
    """The words of a package by key; those of a table are `table.key`."""
    found = dict[str, tuple[str, str]]()
    for key, value in tomllib.loads((files(package) / "words.toml").read_text(encoding="utf-8")).items():
        named = {f"{key}.{name}": pair for name, pair in value.items()} if isinstance(value, dict) else {key: value}
        found |= {name: (chinese, english) for name, (chinese, english) in named.items()}
    return found


WORDS = read_words("worker.drawing")


def says(lang: Lang, words: Words = WORDS) -> Say:
    """The words of one language: called with a key and what fills it in; a key without a word is itself the word."""
    number = 0 if lang == "zh" else 1

    def say(key: str, /, **values: object) -> str:
        pair = words.get(key)
        return pair[number].format(**values) if pair else key

    return say
