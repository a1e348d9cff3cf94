"""Jobs, which producers enqueue, their parts, each of which is one vendor call, and what makes a repeat safe."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from enum import IntEnum, StrEnum
from typing import Any

import uuid_utils

from worker.domain.account import Account
from worker.domain.content.recipient import Recipients
from worker.domain.errors import refused_type

NEWEST_PAYLOAD = 0
"""The newest version of documents that this release reads; it reads all older ones.

Message, recipients and parts' specs of one job share a version, which stands in the job's row. It grows by one with a
change that the release before would refuse or carry out only in part, such as a new kind of job or a new key of a
part's spec; a field of a vendor's body is sent as it stands by all. Only jobs that use the change have the new number:
all others are 0 still, which every release reads.
"""


def is_read(payload: int) -> bool:
    """Returns True if this release reads documents of this version. Others are left to processes of a newer release."""
    return payload <= NEWEST_PAYLOAD


class JobKind(StrEnum):
    """The kinds of jobs. The column is open text: a new kind needs a function and a row, but no migration."""

    SEND = "send"
    """A message to recipients."""
    RECALL = "recall"
    """Takes back the messages of a job."""
    UPLOAD = "upload"
    """Uploads a file; its receipt is a media_id or a URL."""
    UPDATE_CARD = "update_card"
    """Updates a card that was sent."""
    SEND_CHAT = "send_chat"
    """A send to group chats: the vendor gives no msgid for it."""
    CREATE_CHAT = "create_chat"
    """Makes a group chat of the app; its receipt is a chatid."""
    CHANGE_CHAT = "change_chat"
    """Changes a group chat of the app."""
    TRACK = "track"
    """Reads the status of a group send in rounds, until nothing can change any more."""
    REMIND = "remind"
    """Reminds the members who have not confirmed a group send."""


FOLLOW_UPS = frozenset({JobKind.RECALL, JobKind.UPDATE_CARD, JobKind.TRACK, JobKind.REMIND})
"""The kinds of jobs that do something about another job; of any other kind it is a message in the place of that one."""


class Priority(IntEnum):
    """Urgent goes before normal before bulk inside one lane."""

    URGENT = 0
    """Goes first; a recall is urgent by default."""
    NORMAL = 1
    """The default of all that is no recall and no track."""
    BULK = 2
    """Goes last; a track is bulk by default."""


class RepeatRule(StrEnum):
    """What makes a call safe to repeat while an earlier one is in doubt."""

    HOLD = "hold"
    """Nothing does. The part waits for a person (or `on_unknown = "resend"`)."""
    DUPLICATE_CHECK = "duplicate_check"
    """The vendor drops a body with the same bytes inside a window, so the bytes are stored."""
    TASK_ID = "task_id"
    """The card's own task_id: the vendor answers 42014 to a second call with it. The bytes are stored."""
    HARMLESS = "harmless"
    """Repeating does no harm (recall, upload)."""
    FRESH_CODE = "fresh_code"
    """The repeat uses the next fresh response_code. The code in doubt is used up."""
    LOOK_UP = "look_up"
    """Nothing does, but the vendor's records can be searched. The next call of a part in doubt is that search."""


@dataclass(slots=True)  # not frozen: enqueue makes one per job, and freezing doubles its cost
class Draft:
    """A job before it is stored, which a channel checks and splits."""

    kind: str
    account: Account
    message: Mapping[str, Any] = field(repr=False)
    """The message document, see `Message.document` in `message.py`."""
    recipients: Recipients = field(default_factory=Recipients)
    replay: str = ""
    """A text that makes the task_ids of a replay or a correction differ from those of other jobs, else empty."""
    about: Mapping[str, Any] | None = field(default=None, repr=False)
    """The document of the send that a card update is about, or None if it is no longer stored."""


@dataclass(slots=True)  # not frozen: each step of an attempt adds what it finds
class Part:
    """One vendor call to make, as a channel sees it."""

    id: str
    """`<job id>-<n>`"""
    job_id: str
    n: int
    kind: str
    message: Mapping[str, Any] = field(repr=False)
    spec: Mapping[str, Any] = field(repr=False)
    """This part's share, made by the channel's `split` or by a resolve step: recipients, task_id, msgid, targets.

    `after` is the n of the job's part that must have ended before this one may be sent.
    """
    _: KW_ONLY
    in_doubt: bool = False
    """True when an earlier call of this part has no readable answer."""
    frozen: str | None = field(default=None, repr=False)
    """The body of the call in doubt, which a repeat sends again, or None if it is not stored."""
    facts: dict[str, Any] = field(default_factory=dict, repr=False)
    """Results of the resolve step: `media` (message path -> media_id), `response_code`; for a search `doubt` (Unix
    seconds from, until) and `known` (task ids of other parts).
    """
    members: tuple[str, ...] | None = field(default=None, repr=False)
    """Userids behind its departments, tags or @all, as the application's `members_of` returns them; None if unknown."""


JobId = str | uuid.UUID
"""A job's id: the text that JobRef and the reports hold, or a UUID, also as its text with hyphens."""


def id_of(job_id: object) -> str:
    """Returns a job's id as it is stored. Raises CheckFailed for a value that is neither a text nor a UUID.

    Refused before any SQL: the database's error would end the caller's transaction. A part's id stays as it is.
    """
    if isinstance(job_id, uuid.UUID | uuid_utils.UUID):
        return job_id.hex
    if not isinstance(job_id, str):
        raise refused_type("job_id", job_id, "give a job's id, a text such as job.id, or a UUID")
    try:
        return uuid.UUID(job_id).hex
    except ValueError:
        return job_id  # no job has it, or a part


def part_id(job_id: str, n: int) -> str:
    """Returns the id of a job's n-th part. All parts of a job stand side by side in the primary key."""
    return f"{job_id}-{n}"


def part_range(job_id: str) -> dict[str, str]:
    """Returns the lower and upper bound, both excluded, of the ids of a job's parts."""
    return {"low": f"{job_id}-", "high": f"{job_id}."}


def job_of(part: str) -> str:
    """Returns the job of a part id."""
    return part.partition("-")[0]


def first_id(instant: int) -> str:
    """Returns a lower bound of all ids made since an instant in microseconds: a UUIDv7 begins with its milliseconds."""
    return f"{max(0, instant) // 1000:012x}"


TRACK_EVERY_S = 300
"""The least seconds between two rounds of a track: members confirm by hand, and the vendor demands slow polling."""
TRACK_FOR_S = 30 * 86_400
"""Seconds for which a track follows a task, unless the producer says otherwise."""
