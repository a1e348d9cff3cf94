"""The words of the page in Chinese and English."""

from __future__ import annotations

from worker.drawing import Lang, Say, read_words, says as says_of

WORDS = read_words("worker_simulator.inbox")


def says(lang: Lang) -> Say:
    """Returns the function that translates keys. A key without a word is returned as it is."""
    return says_of(lang, WORDS)
