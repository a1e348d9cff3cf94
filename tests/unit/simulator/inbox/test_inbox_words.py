"""The words of the page: the same in both languages, and there for all that is told."""

from __future__ import annotations

import re
from importlib.resources import files

from worker_simulator.inbox.actions import ACTIONS, PRESETS
from worker_simulator.inbox.query import KINDS, PANELS
from worker_simulator.inbox.words import WORDS, says


def test_both_languages_say_the_same() -> None:
    """Each is filled in with the same values, and neither is empty."""
    assert {key: words for key, words in WORDS.items() if not all(words)} == {}
    assert {key: (zh, en) for key, (zh, en) in WORDS.items() if _values(zh) != _values(en)} == {}


def _values(word: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", word))


def test_there_is_a_word_for_all_that_is_told() -> None:
    """Acts, faults, kinds and panels, and every word that a template asks for by name."""
    named = {f"done_{name}" for name in ACTIONS} | {f"preset_{name}" for name in PRESETS} | set(KINDS)
    named |= {f"panel_{name}" for name in PANELS if name}
    templates = files("worker_simulator.inbox") / "assets" / "templates"
    for template in templates.iterdir():
        named |= set(re.findall(r"say\('(\w+)'[,)]", template.read_text(encoding="utf-8")))

    assert named - WORDS.keys() == set()


def test_a_key_without_a_word_is_its_own() -> None:
    """So that a state which is new to the page still shows."""
    assert says("zh")("nonsense", key="value") == "nonsense"
