"""What the fake webhooks remember: keys, what every chat was shown, equal bodies in flight, allowances, files.

Does not know HTTP and what a call does with it.
"""

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from worker_simulator.answers import Refused
from worker_simulator.clock import Clock
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings import SimulatorSettings, WebhookKey, WebhookSettings
from worker_simulator.wecom_app.state.media import MediaStore
from worker_simulator.wire.call_log import KeptFiles

SEND = "/cgi-bin/webhook/send"
InTheAir = tuple[str, bytes]


@dataclass(slots=True)
class Post:
    """A message as one chat shows it."""

    key: str
    chat: str
    kind: str
    """group, single or blackboard."""
    msgtype: str
    content: Json
    altered: list[Json]
    visible_to: list[str]
    """Userids that see it; empty: every member of the chat."""
    post_id: str | None
    time: float
    seq: int
    clicked: dict[str, list[str]] = field(default_factory=dict)
    """Userid -> names of the buttons below it that this member has clicked."""


@dataclass(slots=True)
class Air:
    """Sends in the air, by key and body, and the most equal ones there were at once."""

    now: Counter[InTheAir] = field(default_factory=Counter)
    most_equal: int = 0

    def enter(self, request: HttpRequest) -> InTheAir | None:
        """Count a call that has come; None for a call other than a send, which is not counted."""
        if request.path != SEND:
            return None
        what = _what(request)
        self.now[what] += 1
        self.most_equal = max(self.most_equal, self.now[what])
        return what

    def leave(self, what: InTheAir | None) -> None:
        """The call's answer leaves now, or never will."""
        if what is not None:
            self.now[what] -= 1
            self.now += Counter()

    def is_equal(self, request: HttpRequest) -> bool:
        """Whether a call equal to this one, which is counted too, is in the air."""
        return self.now[_what(request)] > 1


def _what(request: HttpRequest) -> InTheAir:
    return request.query.get("key", ""), hashlib.sha256(request.body).digest()


class Webhooks:
    """Everything about webhooks in one world."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, files: KeptFiles) -> None:
        self._whole = settings
        self.media = MediaStore(settings, clock, files)
        self.air = Air()
        self.posts: list[Post] = []
        self._allowed: defaultdict[tuple[str, str], int] = defaultdict(int)

    @property
    def settings(self) -> WebhookSettings:
        """The settings as they are now: control may have changed them."""
        return self._whole.webhook

    def key_of(self, key: str) -> WebhookKey:
        """The webhook of a key, or its refusal; an empty key is refused like an unknown one."""
        known = next((one for one in self.settings.keys if one.key == key), None)
        if known is None and (not self.settings.open or key in ("", self.settings.wrong_key)):
            raise Refused(93000)
        found = known or WebhookKey(key=key, profile=self.settings.profile)
        if found.removed:
            raise Refused(93000)
        if found.disabled:
            raise Refused(93004)
        return found

    def show(self, posts: Iterable[Post]) -> None:
        """Put messages into their chats."""
        self.posts += posts

    def hear(self, webhook: WebhookKey, person: str) -> None:
        """A member caused a callback in the single chat, which allows some messages there."""
        place, amount = (webhook.key, person.lower()), self.settings.allowance
        self._allowed[place] = self._allowed[place] + amount if self.settings.allowance_adds_up else amount

    def may_start(self, webhook: WebhookKey, person: str) -> bool:
        """Whether a message to that single chat is allowed; one more is taken from what its member allowed."""
        if matches(webhook.scope, person):
            return True
        place = (webhook.key, person.lower())
        if self._allowed[place] <= 0:
            return False
        self._allowed[place] -= 1
        return True

    def shown(self) -> dict[str, Any]:
        """As control shows it: every chat's messages, oldest first."""
        chats: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for post in self.posts:
            chats[post.chat].append(asdict(post))
        return {"chats": dict(chats), "most_equal_in_the_air": self.air.most_equal}


def matches(patterns: Iterable[str], text: str) -> bool:
    """Whether one of the expressions is the whole text; case does not matter."""
    return any(re.fullmatch(pattern, text, re.IGNORECASE) for pattern in patterns)
