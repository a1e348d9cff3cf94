"""The stages of a mailing, their counts, and the tags that a hook matches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from worker.domain.job_terms import REQUEST_ID

EVERY_TAG = "*"


class MailingStage(StrEnum):
    """The stage that a part of a mailing, with its recipients, has reached."""

    WAITING = "waiting"
    """It is still to be sent."""
    IN_FLIGHT = "in_flight"
    """Its call is being made."""
    SENT = "sent"
    """The vendor accepted it."""
    REFUSED = "refused"
    """It was refused for good, or its tries are used up; also the refused recipients of an accepted part."""
    UNKNOWN = "unknown"
    """It may have been sent."""
    RECALLED = "recalled"
    """It was sent, and a recall of it was accepted."""
    CORRECTED = "corrected"
    """Another message replaces it, or will. It was cancelled, recalled, or left as it is."""
    NEVER_SENT = "never_sent"
    """It was cancelled or expired."""


@dataclass(frozen=True, slots=True)
class StageCount:
    """How much of a mailing is in a stage."""

    jobs: int
    """Jobs; one with parts in several stages counts in the first of: in flight, waiting, unknown, corrected, recalled,
    sent, refused, never sent."""
    parts: int
    """Vendor calls to make."""
    recipients: int
    """Recipients. A recipient of two jobs counts twice, and a department or a chat counts once."""


def matches_tag(patterns: Iterable[str], tag: str) -> bool:
    """Returns True if one of the hooks' patterns matches a tag: the tag itself, or its beginning followed by `*`.

    `*` alone matches every tag but request ids.
    """
    return any(
        tag == pattern
        or (pattern == EVERY_TAG and not tag.startswith(REQUEST_ID))
        or (len(pattern) > 1 and pattern.endswith("*") and tag.startswith(pattern[:-1]))
        for pattern in patterns
    )
