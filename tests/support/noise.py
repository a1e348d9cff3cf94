"""A pytest plugin that turns every reason into noise, to prove that the program decides nothing on these texts.

make test ARGS="-p tests.support.noise tests/pipeline"

A reason that the program makes becomes a word that says nothing, and another word each time, as soon as it is put into
a value: an outcome, a block, the facts of a part or lane. Code that compares it or looks for words in it goes wrong,
and some test with it. A copied reason stays as it is. Tests read a reason through `plain`, which gives the text back.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import re
import secrets
from collections.abc import Iterator
from typing import Any

import worker
from worker.outbox.jobs import order_queue
from worker.transport import tokens

ROOMS = ("domain", "channels", "transport", "outbox", "delivery", "hooks", "producer")
"""The rooms that make reasons; those above only read them."""
FIELDS = frozenset({"reason", "attempt_reason"})

_WORD = re.compile("~[0-9a-f]{8}~")
_texts: dict[str, str] = {}


def plain(text: Any) -> Any:
    """The text with every word of noise turned back into the reason that it stands for; other values as they are."""
    if not isinstance(text, str) or "~" not in text:
        return text
    return _WORD.sub(lambda found: str(plain(_texts[found[0]])), text)


def noise(text: Any) -> Any:
    """A word that stands for the text; nothing, and noise itself, stay what they are."""
    if not text or _WORD.fullmatch(text):
        return text
    word = f"~{secrets.token_hex(4)}~"
    _texts[word] = text
    return word


class Noisy:
    """A field that keeps noise for every text put into it."""

    def __init__(self, slot: Any):
        self._slot = slot

    def __get__(self, holder: Any, of: type | None = None) -> Any:
        return self if holder is None else self._slot.__get__(holder, of)

    def __set__(self, holder: Any, text: Any) -> None:
        self._slot.__set__(holder, noise(text))


def values_with_a_reason() -> Iterator[tuple[type, str]]:
    """The program's classes that hold a reason, each with its field."""
    for room in ROOMS:
        package = importlib.import_module(f"{worker.__name__}.{room}")
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(found.name)
            for one in vars(module).values():
                if isinstance(one, type) and dataclasses.is_dataclass(one) and one.__module__ == module.__name__:
                    yield from ((one, each.name) for each in dataclasses.fields(one) if each.name in FIELDS)


def pytest_configure() -> None:
    """Puts the noise in, for the whole run."""
    for holder, name in list(values_with_a_reason()):
        setattr(holder, name, Noisy(vars(holder)[name]))
    # These two go to SQL without a value in between.
    order_queue.WAITS_ITS_TURN = noise(order_queue.WAITS_ITS_TURN)
    tokens.REFUSED_TWICE = (noise(tokens.REFUSED_TWICE[0]), tokens.REFUSED_TWICE[1])
