"""The words of the page in Chinese and English."""

from __future__ import annotations

from worker.drawing import Lang, Say, read_words, says as says_of

WORDS = read_words("worker_simulator.inbox")


def says(lang: Lang) -> Say:
    """The words of one language; a key without a word is itself the word."""
    return says_of(lang, WORDS)
