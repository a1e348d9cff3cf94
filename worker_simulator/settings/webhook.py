"""Settings of webhooks: keys, chats, and the answers that the vendor's pages do not define."""

from typing import Literal
from urllib.parse import parse_qs, urlsplit

from pydantic import Field

from worker_simulator.settings.people import CalledBack, SettingsGroup

Profile = Literal["public", "internal"]


class WebhookKey(CalledBack):
    """One webhook the vendor knows; `robot_callback_format=json` in its callback_url asks for JSON."""

    key: str
    """The key of its address."""
    profile: Profile = "internal"
    """`public`: the group robot; `internal`: message push."""
    removed: bool = False
    """Taken out of its chat: 93000."""
    disabled: bool = False
    """It was disabled: 93004."""
    scope: list[str] = Field(default_factory=lambda: [".*"])
    """Regular expressions of userids in its subscription scope; the others take only what they allow by speaking."""

    @property
    def receiver(self) -> str:
        """The ReceiveId of its envelopes: empty."""
        return ""

    @property
    def name(self) -> str:
        """The webhook's name in messages to people."""
        return "the webhook"

    @property
    def speaks_json(self) -> bool:
        """Whether its callbacks come as JSON."""
        query = parse_qs(urlsplit(self.callback_url or "").query)
        return query.get("robot_callback_format") == ["json"]

    def wrap(self, encrypted: str) -> str:
        """The body of a callback."""
        if self.speaks_json:
            return f'{{"encrypt":"{encrypted}"}}'
        return f"<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"


class WebhookSettings(SettingsGroup):
    """What webhooks are, and what they answer."""

    keys: list[WebhookKey] = Field(default_factory=list)
    """The webhooks that the vendor knows; `robot_callback_format=json` in a callback_url asks for JSON."""
    open: bool = True
    """Keys that are not configured exist too, except `wrong_key`."""
    profile: Profile = "internal"
    """The profile of keys that are not configured."""
    wrong_key: str = "wrong"
    """This key answers 93000."""
    groups: list[str] = Field(default_factory=lambda: ["wr1", "wr2", "wr3"])
    """The groups a broadcast reaches."""
    blackboards: list[str] = Field(default_factory=lambda: ["bb1"])
    """The blackboards a broadcast reaches."""
    home: str = "wrhome"
    """The one chat a public webhook posts to."""
    closed_chats: list[str] = Field(default_factory=lambda: ["wrclosed.*"])
    """Regular expressions of chats that do not allow pushes: 93001."""
    missing_chats: list[str] = Field(default_factory=lambda: ["wrghost.*"])
    """Regular expressions of chats that do not exist: 93006."""
    foreign_chats: list[str] = Field(default_factory=lambda: ["wrforeign.*"])
    """Regular expressions of chats the webhook is not in: 93008."""
    silent_people: list[str] = Field(default_factory=lambda: ["optout.*"])
    """Regular expressions of members who refuse its single-chat messages: 93005."""
    chatid_on_public: Literal["ignored", "refused"] = "ignored"
    """(unconfirmed) What a public webhook does with fields that name chats; `refused`: 40058."""
    chatid_ignored_by: list[str] = Field(default_factory=list)
    """(unconfirmed) Message types that go to every group, whatever chatid says, of miniprogram, file, voice and
    cards."""
    undeliverable_code: int = 40058
    """(unconfirmed) A message type that the chat does not accept. 0 accepts it, but does not display it."""
    equal_body_code: Literal[0, 45033, 45035] = 45033
    """(unconfirmed) Another send of the same key with an equal body is in flight. 0 accepts both."""
    long_text_code: int = 40058
    """(unconfirmed) A text beyond 2048 bytes: 40058 or 45002."""
    robot_per_minute: int = 20
    """Messages a minute of a public webhook."""
    chat_per_minute: int = 100
    """Messages a minute of an internal webhook to one chat; to one member's single chat, too, beyond which is 93005."""
    broadcast_per_minute: int = 100
    """Broadcasts a minute of an internal webhook."""
    key_per_minute: int = 10_000
    """Sends a minute of an internal webhook."""
    allowance: int = 3
    """Messages that a single chat outside the scope takes after a callback of its member."""
    allowance_adds_up: bool = False
    """(unconfirmed) Each callback adds to the remaining allowance, else it resets it."""
