"""The events that application hooks are called with, such as a pressed card or an ended job, and their states."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from worker.domain.mailing import MailingStage, StageCount
from worker.domain.state import JobState, Labelled

Ends = Mapping[str, frozenset[JobState]]
"""Account -> the final states of its jobs for which a hook runs. Those of `ANY_ACCOUNT` apply to every account."""
ANY_ACCOUNT = ""
ENDED = frozenset(JobState) - {JobState.OPEN}
ALL_ENDS: Ends = {ANY_ACCOUNT: ENDED}


@dataclass(frozen=True, slots=True)
class Subscriptions:
    """The events for which the hooks of one process run, or those of several."""

    hooks: frozenset[str] = frozenset()
    """The decorators of its hooks, such as `on_job_done`. Empty if it has no hook."""
    ends: Ends = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    """Tags for whose end a hook runs, or their beginnings followed by `*`."""

    def __bool__(self) -> bool:
        return bool(self.hooks)

    def to_json(self) -> str:
        """Returns what a process stores with its heartbeat."""
        ends = {account: sorted(states) for account, states in self.ends.items()}
        return json.dumps({"hooks": sorted(self.hooks), "ends": ends, "tags": sorted(self.tags)})


NO_HOOKS = Subscriptions()


def merged(documents: Iterable[Any]) -> Subscriptions:
    """Returns the subscriptions of several processes together, from what they stored, parsed.

    Leaves out what this release cannot read, such as a state of a newer one.
    """
    hooks, tags, ends = set[str](), set[str](), dict[str, frozenset[JobState]]()
    for document in documents:
        values = document if isinstance(document, dict) else {}
        hooks.update(name for name in _list(values.get("hooks")) if isinstance(name, str))
        tags.update(tag for tag in _list(values.get("tags")) if isinstance(tag, str))
        by_account = values.get("ends")
        for account, states in by_account.items() if isinstance(by_account, dict) else ():
            readable = frozenset(state for state in JobState if state in _list(states))
            ends[account] = ends.get(account, frozenset()) | readable
    return Subscriptions(frozenset(hooks), ends, frozenset(tags))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


class EventKind(StrEnum):
    """What an event is about."""

    CARD_ACTION = "card_action"
    JOB_DONE = "job_done"
    TAG_DONE = "tag_done"
    """The last open job with a tag ended."""
    MESSAGE = "message"
    """A person wrote, or sent a picture, a voice, a place."""
    CALLBACK = "callback"
    """Any other callback."""


class EventState(Labelled):
    """State of one event. A parked event waits for a person, and an ignored one had no hook."""

    WAITING = 0
    RUNNING = 1
    DONE = 2
    PARKED = 3
    IGNORED = 4


@dataclass(frozen=True, slots=True)
class CardPressed:
    """The argument of `@on_card_action`: a card that this worker sent was pressed."""

    id: str
    """The event's id; the same when the hook runs again for this event."""
    account: str
    """The account whose callback address it came to."""
    job_id: str
    """The job that sent the card: what `update_card(session, action.job_id, ...)` needs."""
    part_id: str
    """Id of the part that sent the card: `<job id>-<n>`."""
    person: str = field(repr=False)
    """The userid as the vendor writes it."""
    button: str
    """`key` of the button, of the submit button, or of the menu's entry."""
    selected: Mapping[str, tuple[str, ...]] = field(repr=False)
    """Question key -> the ids of the options chosen."""
    task_id: str
    """The card's `task_id`."""
    card_type: str
    """The vendor's type of the card, such as `button_interaction`."""
    menu: bool
    """True for an entry of the card's menu, False for a button."""
    happened_at: datetime
    """By the vendor's clock, in whole seconds."""
    tags: tuple[str, ...] = ()
    """The tags of the job. A replay has its original's."""
    dedupe_key: str | None = field(default=None, repr=False)
    """The dedupe key of the job, or None. A replay has its original's."""
    replay_of: str | None = None
    """The original job if this one is a replay, also a replay of a replay, else None."""


@dataclass(frozen=True, slots=True)
class JobDone:
    """The argument of `@on_job_done`: a job ended. An unknown job may end once more, when its doubt is decided."""

    id: str
    """The event's id; the same when the hook runs again for this event."""
    account: str
    """The account's name in the settings."""
    job_id: str
    """Id of the job that ended."""
    kind: str
    """`send`, `recall`, `update_card`, ..., see `Kind`."""
    state: JobState
    """The state in which it ended."""
    happened_at: datetime
    """By the database's clock."""
    tags: tuple[str, ...] = ()
    """The tags of the job. A replay has its original's."""
    dedupe_key: str | None = field(default=None, repr=False)
    """The dedupe key of the job, or None. A replay has its original's."""
    replay_of: str | None = None
    """The original job if this one is a replay, also a replay of a replay, else None."""


@dataclass(frozen=True, slots=True)
class TagDone:
    """The argument of `@on_tag_done`: no job with this tag is open any more. With new jobs the tag may end again."""

    id: str
    """The event's id; the same when the hook runs again for this event."""
    tag: str
    """The tag."""
    stages: Mapping[MailingStage, StageCount]
    """How many jobs, parts and recipients are in each stage, as `mailing` counts them, when the end was noticed."""
    is_cut_short: bool
    """Whether there are more jobs than were counted."""
    happened_at: datetime
    """When the end was noticed, by the database's clock."""


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """The argument of `@on_message`: a person wrote to the app, the webhook or the bot."""

    id: str
    """The event's id; the same when the hook runs again for this event."""
    account: str
    """The account whose callback address it came to."""
    person: str = field(repr=False)
    """The userid as the vendor writes it."""
    type: str
    """The vendor's type: `text`, `image`, `voice`, `video`, `location`, `link`, `file`, ..."""
    text: str | None = field(repr=False)
    """The text of the message. None for other types, or if the vendor's fields are not as documented."""
    data: Mapping[str, Any] = field(repr=False)
    """The whole message as the vendor sent it, decrypted."""
    happened_at: datetime
    """By the vendor's clock, in whole seconds."""


@dataclass(frozen=True, slots=True)
class CallbackReceived:
    """The argument of `@on_callback`: any other callback, such as a subscription or a click in the menu."""

    id: str
    """The event's id; the same when the hook runs again for this event."""
    account: str
    """The account whose callback address it came to."""
    event: str
    """The vendor's name of it, such as `subscribe`, `enter_agent`, `click`."""
    person: str = field(repr=False)
    """The userid as the vendor writes it, or empty if no person caused it."""
    key: str | None
    """The vendor's `EventKey`, such as the menu's entry, or None."""
    data: Mapping[str, Any] = field(repr=False)
    """The whole event as the vendor sent it, decrypted."""
    happened_at: datetime
    """By the vendor's clock, in whole seconds."""


HookEvent = CardPressed | JobDone | TagDone | MessageReceived | CallbackReceived
"""The event that a hook is called with."""
