"""The state of the webhooks: keys, posts of every chat, sends in flight, allowances, files."""

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
from worker_simulator.wire.call_log import RecentFiles

SEND = "/cgi-bin/webhook/send"
SendKey = tuple[str, bytes]


@dataclass(slots=True)
class Post:
    """A message in one chat."""

    key: str
    chat: str
    kind: str
    """group, single or blackboard."""
    msgtype: str
    content: Json
    altered: list[Json]
    visible_to: list[str]
    """Userids that see it. Empty: every member of the chat."""
    post_id: str | None
    time: float
    seq: int
    clicked: dict[str, list[str]] = field(default_factory=dict)
    """Userid -> names of the buttons that this member has clicked."""


@dataclass(slots=True)
class SendsInFlight:
    """Sends in flight by key and body, and the most equal ones there were at once."""

    counts: Counter[SendKey] = field(default_factory=Counter)
    most_equal: int = 0

    def begin(self, request: HttpRequest) -> SendKey | None:
        """Counts a call that has arrived. Returns None for a call other than a send, which is not counted."""
        if request.path != SEND:
            return None
        send_key = _send_key(request)
        self.counts[send_key] += 1
        self.most_equal = max(self.most_equal, self.counts[send_key])
        return send_key

    def end(self, send_key: SendKey | None) -> None:
        """Ends a call: its answer is sent, or never will be."""
        if send_key is not None:
            self.counts[send_key] -= 1
            self.counts += Counter()

    def is_equal(self, request: HttpRequest) -> bool:
        """True if another call with the same key and body is in flight."""
        return self.counts[_send_key(request)] > 1


def _send_key(request: HttpRequest) -> SendKey:
    return request.query.get("key", ""), hashlib.sha256(request.body).digest()


class Webhooks:
    """The state of all webhooks."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, files: RecentFiles) -> None:
        self._all_settings = settings
        self.media = MediaStore(settings, clock, files)
        self.in_flight = SendsInFlight()
        self.posts: list[Post] = []
        self._allowed: defaultdict[tuple[str, str], int] = defaultdict(int)

    @property
    def settings(self) -> WebhookSettings:
        """The current settings, which control calls may have changed."""
        return self._all_settings.webhook

    def key_of(self, key: str) -> WebhookKey:
        """Returns the webhook of a key. Refuses an unknown, removed or disabled one. An empty key is unknown."""
        configured = next((webhook for webhook in self.settings.keys if webhook.key == key), None)
        if configured is None and (not self.settings.open or key in ("", self.settings.wrong_key)):
            raise Refused(93000)
        webhook = configured or WebhookKey(key=key, profile=self.settings.profile)
        if webhook.removed:
            raise Refused(93000)
        if webhook.disabled:
            raise Refused(93004)
        return webhook

    def show(self, posts: Iterable[Post]) -> None:
        """Posts messages to their chats."""
        self.posts += posts

    def allow_messages(self, webhook: WebhookKey, person: str) -> None:
        """Allows some messages to a member's single chat, because the member caused a callback there."""
        place, amount = (webhook.key, person.lower()), self.settings.allowance
        self._allowed[place] = self._allowed[place] + amount if self.settings.allowance_adds_up else amount

    def use_allowance(self, webhook: WebhookKey, person: str) -> bool:
        """Returns whether a message to a member's single chat is allowed. Uses up one allowed message."""
        if matches(webhook.scope, person):
            return True
        place = (webhook.key, person.lower())
        if self._allowed[place] <= 0:
            return False
        self._allowed[place] -= 1
        return True

    def to_json(self) -> dict[str, Any]:
        """Returns every chat's messages for the control API, oldest first."""
        chats: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for post in self.posts:
            chats[post.chat].append(asdict(post))
        return {"chats": dict(chats), "most_equal_in_flight": self.in_flight.most_equal}


def matches(patterns: Iterable[str], text: str) -> bool:
    """True if one of the expressions matches the whole text, in any case."""
    return any(re.fullmatch(pattern, text, re.IGNORECASE) for pattern in patterns)
