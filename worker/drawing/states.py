"""The states of jobs and parts as pages show them: one colour and one word each, in Chinese and English.

Does not know what moves them. Their names are those of the job's row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from worker.drawing.shown import Lang

Tone = Literal["calm", "busy", "good", "mixed", "bad", "doubt", "gone"]
"""What a colour says; each is a class `tone-...` of the style sheet."""


@dataclass(frozen=True, slots=True)
class StateWord:
    """How one state is shown."""

    tone: Tone
    zh: str
    en: str


STATES: Mapping[str, StateWord] = {
    "open": StateWord("busy", "进行中", "open"),
    "queued": StateWord("calm", "排队中", "queued"),
    "sending": StateWord("busy", "发送中", "sending"),
    "accepted": StateWord("good", "已受理", "accepted"),
    "partial": StateWord("mixed", "部分受理", "partial"),
    "rejected": StateWord("bad", "被拒绝", "rejected"),
    "exhausted": StateWord("bad", "重试用尽", "exhausted"),
    "unknown": StateWord("doubt", "结果未知", "unknown"),
    "expired": StateWord("gone", "已过期", "expired"),
    "cancelled": StateWord("gone", "已取消", "cancelled"),
}
"""Every state of a job and of a part, by its name."""


def state_word(state: str, lang: Lang = "zh") -> str:
    """The word of a state; a state that is not known is its own word."""
    word = STATES.get(state)
    return state if word is None else word.zh if lang == "zh" else word.en


def state_badge(state: str, lang: Lang = "zh") -> Markup:
    """A state as a badge in its colour, with its word."""
    word = STATES.get(state)
    tone = word.tone if word else "calm"
    return Markup('<span class="badge state tone-{}" data-state="{}">{}</span>').format(
        tone, state, state_word(state, lang)
    )
