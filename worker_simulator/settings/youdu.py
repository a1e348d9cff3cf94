"""Settings of the Youdu server: its apps, and a default for each point that its documentation leaves open."""

import base64
from typing import Literal

from pydantic import Field, field_validator

from worker.crypto.envelope import KeyUnfit
from worker.crypto.youdu import aes_key
from worker_simulator.settings.people import SettingsGroup

Role = Literal["message", "sysmsg", "sms", "mail", "org"]


def key_of(first: int) -> str:
    """Returns an EncodingAESKey for tests: Base64 of 32 bytes that count up from `first`."""
    return base64.b64encode(bytes((first + n) % 256 for n in range(32))).decode()


class YouduApp(SettingsGroup):
    """One app of the server."""

    appid: str
    """Its id."""
    aes_key: str
    """Its EncodingAESKey, Base64 of 32 bytes."""
    role: Role = "message"
    """What it is for: messages, or one of the fixed apps."""
    callback_url: str | None = None
    """The callback URL for what people write to it, or None."""
    callback_token: str = ""
    """The token that signs its callbacks."""

    @field_validator("aes_key")
    @classmethod
    def _is_one(cls, value: str) -> str:
        try:
            aes_key(value)
        except KeyUnfit as error:
            raise ValueError(str(error)) from None
        return value


def _apps() -> list[YouduApp]:
    return [
        YouduApp(appid="yd00112233445566778899AABBCCDDEEFF", aes_key=key_of(0)),
        YouduApp(appid="sysMsgAssistant", aes_key=key_of(1), role="sysmsg"),
        YouduApp(appid="sysSmsAssistant", aes_key=key_of(2), role="sms"),
        YouduApp(appid="sysExmailAssistant", aes_key=key_of(3), role="mail"),
        YouduApp(appid="sysOrgAssistant", aes_key=key_of(4), role="org"),
    ]


class YouduSettings(SettingsGroup):
    """The Youdu server; a code of 0 accepts what it would refuse."""

    buin: int = 12345678
    """The enterprise's switchboard number."""
    apps: list[YouduApp] = Field(default_factory=_apps)
    """The apps of the server."""
    token_lifetime_s: float = 7200
    """How many seconds an accessToken is valid."""
    old_tokens_live: bool = True
    """(unconfirmed) Older tokens stay valid when a new one is issued."""
    timestamp_window_s: float = 0
    """(unconfirmed) How many seconds gettoken's timestamp may differ from the clock, else 100003. 0 switches the check
    off."""
    invalid_users: Literal["strict", "partial", "partial-error", "silent"] = "partial"
    """(unconfirmed) Unknown accounts. `strict`: 200007, and no recipient gets it; `partial`: errcode 0, and names them;
    `partial-error`: 200007, names them, and the others get it; `silent`: errcode 0 and `ok`."""
    invalid_text: str = "invalid toUser: {users}"
    """(unconfirmed) The errmsg that names them."""
    invalid_separator: str = "|"
    """(unconfirmed) What stands between their names."""
    missing_users: list[str] = Field(default_factory=lambda: ["ghost.*"])
    """Regular expressions of accounts that do not exist; case does not matter."""
    first_missing_dept: int = 900_000
    """The departments from this id on do not exist."""
    unknown_dept_code: int = 0
    """(unconfirmed) A department that does not exist. 0 ignores it."""
    members_per_dept: int = 3
    """How many members a made-up department has: department 12 has d12u1, d12u2, ..."""
    depts: dict[str, list[str]] = Field(default_factory=dict)
    """Members of single departments, instead of the made-up ones."""
    everyone: list[str] = Field(default_factory=lambda: ["all1", "all2", "all3"])
    """Accounts that department 0 and toAll reach."""
    offline: list[str] = Field(default_factory=lambda: ["all3"])
    """Accounts that are not online now."""
    only_online: Literal["either", "onlyOnline", "onliyOnline"] = "either"
    """(unconfirmed) Which spelling of the flag is read."""
    body_code: int = 100003
    """(unconfirmed) A required field that is missing, more than 5 items, more than 100 departments, no recipient."""
    long_title_code: int = 0
    """(unconfirmed) A title of link, exlink or sysMsg beyond 64; 0 shows it, and says so in `altered`."""
    exlink_cover_code: int = 0
    """(unconfirmed) An exlink whose media_id is empty; one without the field is a wrong body."""
    character: Literal["code_point", "utf16"] = "code_point"
    """(unconfirmed) What a character is where texts are cut."""
    sms_by_message_app: bool = True
    """(unconfirmed) An ordinary app may send `sms`."""
    legacy_token: Literal["ignored", "required"] = "ignored"
    """(unconfirmed) What is done with an accessToken on popwindow and set.ent.notice."""
    answers_as: Literal["app", "sysOrgAssistant"] = "app"
    """(unconfirmed) The appId behind what answers hold."""
    media_shared: bool = False
    """(unconfirmed) A media_id is valid for every app."""
    media_lifetime_s: float = 0
    """(unconfirmed) How many seconds a media_id is valid. 0: for ever."""
    media_max_bytes: int = 0
    """(unconfirmed) Larger files get 200008. 0: no limit."""
