"""The stages of a mailing, their counts, and which tags a hook asks for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from worker.domain.job_terms import REQUEST_ID

EVERY_TAG = "*"


class MailingStage(StrEnum):
    """How far a part of a mailing has come, and with it its recipients."""

    WAITING = "waiting"
    """It is still to be sent."""
    IN_FLIGHT = "in_flight"
    """Its call is being made."""
    SENT = "sent"
    """The vendor took it."""
    REFUSED = "refused"
    """It was refused for good, or its tries are used up; of one that was taken, the recipients who were refused."""
    IN_DOUBT = "in_doubt"
    """It may have been sent."""
    RECALLED = "recalled"
    """It was sent, and a recall of it was accepted."""
    CORRECTED = "corrected"
    """Another message goes, or went, in its place; it itself was cancelled, recalled or left where it was."""
    NOT_SENT = "not_sent"
    """It was cancelled or expired."""


@dataclass(frozen=True, slots=True)
class StageCount:
    """How much of a mailing is in a stage."""

    jobs: int
    """Jobs; one with parts in several stages counts in the first of: in flight, waiting, in doubt, corrected, recalled,
    sent, refused, not sent."""
    parts: int
    """Vendor calls to make."""
    recipients: int
    """Recipients; whom two jobs name counts twice, and a department or a chat counts once."""


def matches_tag(patterns: Iterable[str], tag: str) -> bool:
    """Whether hooks ask for a tag: by itself, or by its beginning and `*`; `*` alone is no tag that names a request."""
    return any(
        tag == one
        or (one == EVERY_TAG and not tag.startswith(REQUEST_ID))
        or (len(one) > 1 and one.endswith("*") and tag.startswith(one[:-1]))
        for one in patterns
    )
