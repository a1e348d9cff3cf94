"""Terms of pages in Chinese and English, from the `words.toml` of a package: labels, badges, what `altered` means.

Does not know messages.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from importlib.resources import files

from worker.drawing.message_view import Lang

Words = Mapping[str, tuple[str, str]]
"""Chinese and English by key, with `{...}` as placeholders."""
Say = Callable[..., str]


def read_words(package: str) -> Words:
    """Reads the terms of a package by key. Those of a table are `table.key`."""
    found = dict[str, tuple[str, str]]()
    for key, value in tomllib.loads((files(package) / "words.toml").read_text(encoding="utf-8")).items():
        named = {f"{key}.{name}": pair for name, pair in value.items()} if isinstance(value, dict) else {key: value}
        found |= {name: (chinese, english) for name, (chinese, english) in named.items()}
    return found


WORDS = read_words("worker.drawing")


def says(lang: Lang, words: Words = WORDS) -> Say:
    """Returns a function that translates a key with its values into one language. An unknown key is returned itself."""
    number = 0 if lang == "zh" else 1

    def say(key: str, /, **values: object) -> str:
        pair = words.get(key)
        return pair[number].format(**values) if pair else key

    return say
