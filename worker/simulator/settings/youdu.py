"""The fake Youdu server: its apps, and a default for each point its documentation leaves open."""

import base64
from typing import Literal

from pydantic import Field, field_validator

from worker.crypto.envelope import KeyUnfit
from worker.crypto.youdu import aes_key
from worker.simulator.settings.group import SettingsGroup

Role = Literal["message", "sysmsg", "sms", "mail", "org"]


def key_of(first: int) -> str:
    """A made-up EncodingAESKey."""
    return base64.b64encode(bytes((first + n) % 256 for n in range(32))).decode()


class YouduApp(SettingsGroup):
    """One app of the server."""

    appid: str
    aes_key: str
    role: Role = "message"
    callback_url: str | None = None
    """Where what people write to it goes; None: nowhere."""
    callback_token: str = ""

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
    """The server; a code of 0 accepts what it would refuse."""

    buin: int = 12345678
    apps: list[YouduApp] = Field(default_factory=_apps)
    token_lifetime_s: float = 7200
    old_tokens_live: bool = True
    """(unconfirmed) an older token stays good when a new one is issued."""
    timestamp_window_s: float = 0
    """(unconfirmed) how far gettoken's timestamp may be from the clock, else 100003; 0 does not look."""
    invalid_users: Literal["strict", "partial", "partial-error", "silent"] = "partial"
    """(unconfirmed) unknown accounts: 200007 and no recipient gets it; errcode 0 that names them; 200007 that names
    them, and the others get it; errcode 0 and `ok`."""
    invalid_text: str = "invalid toUser: {users}"
    """(unconfirmed) the errmsg that names them."""
    invalid_separator: str = "|"
    """(unconfirmed) what stands between them."""
    missing_users: list[str] = Field(default_factory=lambda: ["ghost.*"])
    """Regular expressions of accounts that do not exist; case does not matter."""
    first_missing_dept: int = 900_000
    unknown_dept_code: int = 0
    """(unconfirmed) a department that does not exist; 0 leaves it out in silence."""
    members_per_dept: int = 3
    """Department 12 has the members d12u1, d12u2, ..."""
    depts: dict[str, list[str]] = Field(default_factory=dict)
    """Members of single departments, instead of the made-up ones."""
    everyone: list[str] = Field(default_factory=lambda: ["all1", "all2", "all3"])
    """Accounts that department 0 and toAll reach."""
    offline: list[str] = Field(default_factory=lambda: ["all3"])
    """Accounts that are not online now."""
    only_online: Literal["either", "onlyOnline", "onliyOnline"] = "either"
    """(unconfirmed) which spelling of the flag is read."""
    body_code: int = 100003
    """(unconfirmed) a required field that is missing, more than 5 items, more than 100 departments, no recipient."""
    long_title_code: int = 0
    """(unconfirmed) a title of link, exlink or sysMsg beyond 64; 0 shows it, and says so in `altered`."""
    exlink_cover_code: int = 0
    """(unconfirmed) an exlink whose media_id is empty; one without the field is a wrong body."""
    character: Literal["code_point", "utf16"] = "code_point"
    """(unconfirmed) what a character is where texts are cut."""
    sms_by_message_app: bool = True
    """(unconfirmed) an ordinary app may send `sms`."""
    legacy_token: Literal["ignored", "required"] = "ignored"
    """(unconfirmed) an accessToken on popwindow and set.ent.notice."""
    answers_as: Literal["app", "sysOrgAssistant"] = "app"
    """(unconfirmed) the appId behind what answers hold."""
    media_shared: bool = False
    """(unconfirmed) a media_id is good for every app."""
    media_lifetime_s: float = 0
    """(unconfirmed) how long one lives; 0: for ever."""
    media_max_bytes: int = 0
    """(unconfirmed) 0: no limit; more is 200008."""
