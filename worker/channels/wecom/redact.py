"""Removes everything of ours from the vendor's errmsg: recipients, message text, tokens and ids.

It also adds the caller's address to the remedy of a refusal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from worker.domain.job import Part

MASK = "***"
MAX_REASON = 200

_TAIL = re.compile(r"hint:|from ip:|more info at", re.IGNORECASE)
_HINT = re.compile(r"hint:\s*\[([0-9A-Za-z_]{1,64})\]")
_CALLER_IP = re.compile(r"from ip:\s*([0-9A-Fa-f.:]{3,45})")
_QUOTED = re.compile(r"'[^']*'?|\"[^\"]*\"?|`[^`]*`?|“[^”]*”?|「[^」]*」?")
# Tokens, media_ids, msgids and response codes: long runs with digits or capitals, which no word or field path is.
_LONG = re.compile(r"[0-9A-Za-z_+/=-]{16,}")
_OPAQUE = re.compile(r"[0-9A-Z]")
# Message text, as it is or percent- or \\u-escaped.
_FOREIGN = re.compile(r"(?:[^\x20-\x7e]|%[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4})+")
_WORD = re.compile(r"[0-9A-Za-z._@-]+")

# The words of observed reasons. They stay even if the message contains them, too.
VOCABULARY = frozenset(
    """
    a accept accesstoken access_token agent all allow and another api appid article bad body button by callback chinese
    code content credential data department description duplicate empty error exceed existed exist expired failed field
    for forbidden format freq from has have id illegal in info invalid invalid_media_id ip is key len length limit list
    max media media_id message min miniprogram missing more msgid name no not of ok operate or out param parameter party
    permission request response_code secret size system busy tag taskid task_id template_card text the this title to too
    type unknown url user userid warning: warning with words wrong json your
    """.split()  # noqa: SIM905 - a table of words reads better as text
)


def reason(errmsg: str, part: Part) -> str:
    """Returns the vendor's reason up to its hint, and masks whatever could be a recipient or text."""
    if errmsg == "ok":
        return errmsg
    text, *tail = _TAIL.split(errmsg[: 4 * MAX_REASON], maxsplit=1)
    text = text.rstrip().removesuffix(",") if tail else text
    text = _LONG.sub(lambda run: MASK if _OPAQUE.search(run[0]) else run[0], _QUOTED.sub(MASK, text))
    text = _without(_FOREIGN.sub(MASK, text), part)
    return text.strip()[:MAX_REASON]


def hint(errmsg: str) -> str | None:
    """Returns the vendor's trace number, which its support needs."""
    found = _HINT.search(errmsg)
    return found[1] if found else None


def caller_ip(errmsg: str) -> str | None:
    """Returns our address as the vendor sees it. An operator must add it to the app's trusted addresses (60020)."""
    found = _CALLER_IP.search(errmsg)
    return found[1] if found else None


def _without(text: str, part: Part) -> str:
    """Masks every word of `text` that names a recipient of the part or occurs in its message."""
    people = {entry.lower() for entry in _strings(part.spec)}
    said = "\n".join(_strings(part.message)).lower()

    def masked(found: re.Match[str]) -> str:
        word = found[0].lower()
        bare = word.strip(".-")
        is_said = len(bare) > 2 and bare not in VOCABULARY and bare in said
        return MASK if is_said or word in people else found[0]

    return _WORD.sub(masked, text)


def _strings(tree: Any) -> Iterator[str]:
    """Yields every string value below `tree`."""
    if isinstance(tree, str):
        yield tree
    elif isinstance(tree, Mapping | list):
        for value in tree.values() if isinstance(tree, Mapping) else tree:
            yield from _strings(value)


UNTRUSTED = frozenset({60020, 301042})
"""Codes that are about the caller's IP, which the vendor's text names."""


def remedy(what: str, code: int, errmsg: str) -> str:
    """Returns the remedy, with our address as the vendor sees it if that is refused."""
    ip = caller_ip(errmsg) if code in UNTRUSTED else None
    return f"{what} (the vendor sees {ip})" if ip else what
