"""The state of the Youdu server: tokens, files, messages, pop-up windows and badge counts.

The API has no id for a message, so only this log shows what arrived.
"""

import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Literal

from worker_simulator.clock import Clock
from worker_simulator.request import Json
from worker_simulator.settings.youdu import YouduApp, YouduSettings
from worker_simulator.wecom_app.state.inbox import Inbox
from worker_simulator.youdu.answer import YouduRefused


@dataclass(slots=True)
class YouduToken:
    """One token."""

    appid: str
    expires_at: float


class TokenStore:
    """All tokens by their value."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, YouduToken] = {}

    def issue(self, app: YouduApp, settings: YouduSettings) -> str:
        """Returns a new token. A setting decides whether older ones stay valid."""
        if not settings.old_tokens_live:
            self._tokens = {value: token for value, token in self._tokens.items() if token.appid != app.appid}
        value = f"yt_{secrets.token_hex(24)}"
        self._tokens[value] = YouduToken(app.appid, self._clock.now() + settings.token_lifetime_s)
        return value

    def check(self, value: str | None, app: YouduApp) -> None:
        """Refuses a token that is not this app's or has expired."""
        if not value:
            raise YouduRefused(100000)
        token = self._tokens.get(value)
        if token is None or token.appid != app.appid:
            raise YouduRefused(100001)
        if token.expires_at <= self._clock.now():
            raise YouduRefused(100002)

    def expire(self, which: str) -> int:
        """Expires one token, or all with `all`. Returns how many there were."""
        chosen = [token for value, token in self._tokens.items() if which in ("all", value)]
        for token in chosen:
            token.expires_at = self._clock.now()
        return len(chosen)

    def forget(self) -> int:
        """Deletes all tokens, as a restart does. Returns how many there were."""
        count = len(self._tokens)
        self._tokens.clear()
        return count


@dataclass(slots=True)
class YouduFile:
    """One uploaded file, decrypted."""

    media_id: str
    appid: str
    kind: str
    name: str
    content: bytes
    created_at: float

    def to_json(self) -> Json:
        """Returns the file for the control API."""
        about = {"media_id": self.media_id, "app": self.appid, "type": self.kind, "name": self.name}
        return {**about, "size": len(self.content)}


class YouduFiles:
    """Uploaded files by media_id. Their bytes are stored, because media/get returns them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._files: dict[str, YouduFile] = {}

    def to_json(self) -> list[Json]:
        """Returns every file for the control API, oldest first."""
        return [media.to_json() for media in self._files.values()]

    def add(self, app: YouduApp, kind: str, name: str, content: bytes) -> YouduFile:
        """Stores a file. The number in its id is its size."""
        media_id = f"{secrets.token_hex(16)}-{len(content)}"
        media = YouduFile(media_id, app.appid, kind, name, content, self._clock.now())
        self._files[media_id] = media
        return media

    def find(self, app: YouduApp, media_id: object, settings: YouduSettings) -> YouduFile:
        """Returns a file that this app may use. Refuses any other with 200010."""
        media = self._files.get(media_id) if isinstance(media_id, str) else None
        if media is None or not (settings.media_shared or media.appid == app.appid):
            raise YouduRefused(200010)
        if settings.media_lifetime_s and self._clock.now() - media.created_at > settings.media_lifetime_s:
            raise YouduRefused(200010)
        return media

    def find_any(self, media_id: str) -> YouduFile | None:
        """Returns a file of any app, or None."""
        return self._files.get(media_id)

    def forget(self, which: str) -> int:
        """Deletes one file, or all with `all`. Returns how many there were."""
        chosen = [media_id for media_id in self._files if which in ("all", media_id)]
        for media_id in chosen:
            del self._files[media_id]
        return len(chosen)


@dataclass(slots=True, eq=False)
class DeliveredMessage:
    """A message as it is displayed. It is in the inbox of each recipient, next to those of other vendors."""

    number: int
    appid: str
    msgtype: str
    content: Any
    sent_at: float
    seq: int
    altered: list[Json] = field(default_factory=list)
    shown_to: list[str] = field(default_factory=list)

    @property
    def msgid(self) -> str:
        """A number of our own, so that control calls can tell messages apart. The vendor has no msgid."""
        return f"youdu-{self.number}"

    @property
    def appearance(self) -> str:
        """A text that is equal for messages that look alike."""
        return json.dumps([self.appid, self.msgtype, self.content], ensure_ascii=False, sort_keys=True)

    def view_for(self, person: str) -> Json:
        """Returns what one person sees of it."""
        return {
            "number": self.number,
            "app": self.appid,
            "msgtype": self.msgtype,
            "content": self.content,
            "altered": self.altered,
            "time": self.sent_at,
            "seq": self.seq,
        }


@dataclass(frozen=True, slots=True, eq=False)
class YouduNotice:
    """A pop-up window that was opened, or a badge count that was set. They are not in the inbox."""

    kind: Literal["pop_window", "badge"]
    appid: str
    content: Json
    people: list[str]
    time: float
    seq: int


class YouduState:
    """The state of the whole server."""

    def __init__(self, clock: Clock, inbox: Inbox) -> None:
        self._clock, self._inbox = clock, inbox
        self.tokens = TokenStore(clock)
        self.media = YouduFiles(clock)
        self.delivered: list[DeliveredMessage] = []
        self.windows: dict[str, list[Json]] = {}
        self.badges: dict[str, Json] = {}
        self.notices: list[YouduNotice] = []
        """Every window and badge count, oldest first."""

    def deliver(self, appid: str, msgtype: str, content: Any, altered: list[Json], people: list[str], seq: int) -> None:
        """Delivers a message to people (lower-case accounts)."""
        number = len(self.delivered) + 1
        message = DeliveredMessage(number, appid, msgtype, content, self._clock.now(), seq, altered)
        self.delivered.append(message)
        self._inbox.show(message, people)

    def pop_up(self, appid: str, window: Json, people: list[str], seq: int) -> None:
        """Opens a window at people. It replaces an earlier one with the same id."""
        self.notices.append(YouduNotice("pop_window", appid, window, people, self._clock.now(), seq))
        for person in people:
            windows = self.windows.setdefault(person, [])
            notice = window.get("notice_id")
            remaining = [
                earlier
                for earlier in windows
                if not notice or (earlier["app"], earlier.get("notice_id")) != (appid, notice)
            ]
            self.windows[person] = [*remaining, {"app": appid, **window, "time": self._clock.now(), "seq": seq}]

    def set_badge(self, appid: str, account: str, count: int, tip: str | None, seq: int) -> None:
        """Sets the badge count of one account. 0 clears it."""
        content: Json = {"count": count} | ({} if tip is None else {"tip": tip})
        self.notices.append(YouduNotice("badge", appid, content, [account], self._clock.now(), seq))
        if count:
            self.badges[account] = {"app": appid, "count": count, "tip": tip}
        else:
            self.badges.pop(account, None)

    def to_json(self) -> Json:
        """Returns the state for the control API. Each message has its recipients."""
        delivered = [{**message.view_for(""), "people": message.shown_to} for message in self.delivered]
        return {
            "delivered": delivered,
            "windows": self.windows,
            "badges": self.badges,
            "media": self.media.to_json(),
        }
