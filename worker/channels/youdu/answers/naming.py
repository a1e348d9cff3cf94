"""Which of the asked recipients an errmsg names.

The vendor says only that it "contains the list of invalid users". Neither its form nor its words are documented
(c01_00003), so names are looked for and the text is never parsed by a rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from worker.channels.youdu.answers.redact import VOCABULARY
from worker.channels.youdu.targets import TARGETS, addressed
from worker.domain.job import Part
from worker.domain.outcome import Refusal

FIELD = "errmsg"
"""The field that names a refused recipient: there is no list."""

_SPACES = r"\s|,;:()\[\]{}<>\"'`“”‘’（）【】《》，；：、。！？!?="
_TOKEN = re.compile(f"[^{_SPACES}]+")
_WORD = re.compile(r"[0-9A-Za-z._@+-]+")
_LISTED = re.compile(r"[|,;\[\]，；、\"']")


@dataclass(frozen=True, slots=True)
class Named:
    """What an errmsg says of the recipients of a part."""

    refusals: tuple[Refusal, ...]
    doubtful: bool
    """A word of the text may name a further recipient, or be a plain word of the sentence."""


def named(part: Part, errmsg: str) -> Named:
    """Every asked account and address that stands in the text as a word of its own, in the caller's spelling."""
    asked, text = _asked(part), errmsg.lower()
    sure, doubtful = set[str](), False
    for word, in_list in _words(text, asked):
        if word in VOCABULARY and not in_list:
            doubtful = True  # "invalid user": an account may be called so
        else:
            sure.add(word)
    sure |= _odd_ones(text, asked)
    doubtful = doubtful or _embedded(text, asked, sure)
    return Named(tuple(refusal for key, refusal in asked.items() if key in sure), doubtful)


def _asked(part: Part) -> Mapping[str, Refusal]:
    """Accounts and addresses by their lower-case form; departments are never said to be named."""
    lists = addressed(part)
    return {
        entry.lower(): Refusal(entry, target.kind, FIELD)
        for target in TARGETS
        if target.name != "parties"
        for entry in lists[target.name]
    }


def _words(text: str, asked: Mapping[str, Refusal]) -> Iterator[tuple[str, bool]]:
    """Asked names that stand between separators, or as Latin words inside Chinese text; and whether in a list."""
    for token in _TOKEN.finditer(text):
        whole = _known(token[0], asked)
        if whole is not None:
            yield whole, _is_listed(text, token.start(), token.end())
            continue
        for word in () if token[0].isascii() else _WORD.finditer(token[0]):
            inner = _known(word[0], asked)
            if inner is not None:
                yield inner, False


def _known(word: str, asked: Mapping[str, Refusal]) -> str | None:
    """The asked name that a word is, also with the full stop of a sentence behind it; None for other words."""
    return next((one for one in (word, word.rstrip(".-")) if one in asked), None)


def _is_listed(text: str, start: int, end: int) -> bool:
    return bool(_LISTED.fullmatch(text[start - 1 : start]) or _LISTED.fullmatch(text[end : end + 1]))


def _odd_ones(text: str, asked: Mapping[str, Refusal]) -> set[str]:
    """Names that hold a separator themselves (a space, a comma), found as they are between other characters."""
    odd = [one for one in asked if re.search(f"[{_SPACES}]", one)]
    return {one for one in odd if re.search(rf"(?<![\w@.+-]){re.escape(one)}(?![\w@+-])", text)}


def _embedded(text: str, asked: Mapping[str, Refusal], sure: set[str]) -> bool:
    """Whether a name that is not Latin stands inside a longer run: where it begins and ends cannot be told."""
    if text.isascii():
        return False
    return any(one in text for one in asked.keys() - sure if not one.isascii())
