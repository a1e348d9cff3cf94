"""Every word of the console in Chinese and English, by key; a key is `page.word`."""

from __future__ import annotations

from collections.abc import Mapping

from worker.console.words.frame import FRAME
from worker.console.words.home import HOME
from worker.console.words.jobs import JOBS
from worker.console.words.lanes import LANES
from worker.console.words.records import RECORDS
from worker.console.words.sign_in import SIGN_IN
from worker.drawing import Lang

WORDS: Mapping[str, tuple[str, str]] = {**FRAME, **SIGN_IN, **HOME, **JOBS, **LANES, **RECORDS}
"""Chinese and English; `{...}` are filled in."""


def say(lang: Lang, key: str, **values: object) -> str:
    """A word in one language; KeyError for a key that there is not."""
    chinese, english = WORDS[key]
    return (chinese if lang == "zh" else english).format(**values)
