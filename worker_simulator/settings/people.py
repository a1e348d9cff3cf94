"""Settings of apps, access tokens and members, and the base of all that has a callback URL."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.crypto.envelope import Envelope


class SettingsGroup(BaseModel):
    """A group of settings: unknown names are refused, assignments are checked."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class CalledBack(SettingsGroup):
    """Registered an address for callbacks, or not yet."""

    callback_url: str | None = None
    """The callback URL, or None. Without one, what people press and write is not reported."""
    callback_token: str = ""
    """The Token that signs its callbacks."""
    callback_aes_key: str = ""
    """The EncodingAESKey that encrypts its callbacks."""

    def encrypt(self, message: bytes, receiver: str, timestamp: str, nonce: str, random: bytes) -> tuple[str, str]:
        """The encrypted message and its signature."""
        return Envelope(self.callback_token, self.callback_aes_key, receiver).seal(message, timestamp, nonce, random)


class AppSettings(CalledBack):
    """One app the vendor knows; its corp then accepts no secrets but the configured ones."""

    corpid: str
    """The app's corp."""
    secret: str
    """The corpsecret of gettoken."""
    agentid: int | None = None
    """The agentid of its messages, or None if any is accepted."""
    callback: bool = True
    """It has a callback URL; without one cards with buttons are refused (43012)."""
    enabled: bool = True
    """It is enabled; otherwise gettoken answers 50003."""
    secret_unsafe: bool = False
    """Its secret was found to be unsafe: gettoken answers 45031."""
    miniprogram: bool = True
    """It is a mini-program app; others may not send miniprogram_notice (48002)."""
    mini_programs: list[str] | None = None
    """The appids of linked mini programs, or None if all are linked. A message that links to another is refused
    (90206)."""
    root_scope: bool = True
    """Its visible range is the root department; without that there are no group chats (`chat.no_scope_code`)."""
    wechat_plugin_home: bool = False
    """In the WeChat plugin it always opens its home page: members see 20 bytes of a text there, and no other type."""
    group_sends: bool = True
    """It may call customer contact: it is among 可调用接口的应用, or its suite was granted 群发消息给客户和客户群.
    Others get 48002."""
    visible: list[str] | None = None
    """The userids that the app can reach, or None for all."""
    trusted_ips: list[str] | None = None
    """The IP addresses that may call, or None for all. Others get 60020, except at gettoken."""

    @property
    def receiver(self) -> str:
        """The ReceiveId of its callbacks' envelopes."""
        return self.corpid

    @property
    def name(self) -> str:
        """The app's name in messages to people."""
        return f"the app of {self.corpid}" if self.agentid is None else f"app {self.agentid} of {self.corpid}"

    def wrap(self, encrypted: str) -> str:
        """The body of a callback."""
        return (
            f"<xml><ToUserName><![CDATA[{self.corpid}]]></ToUserName><AgentID><![CDATA[{self.agentid}]]></AgentID>"
            f"<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
        )


class TokenSettings(SettingsGroup):
    """How tokens live."""

    lifetime_s: float = 7200
    """How many seconds an access token is valid."""
    same_while_left_s: float = 600
    """(unconfirmed) gettoken returns the current token again while it is valid for more seconds than this."""
    expired_code: Literal[42001, 40014] = 42001
    """The errcode of an expired access token. Both were observed."""
    revoked_code: int = 40014
    """The errcode of an access token that was revoked or never issued."""
    bad_secrets_per_hour: int = 2000
    """After so many wrong secrets from one IP within an hour, the IP is banned for an hour (45009)."""
    wrong_secret: str = "wrong"
    """The secret that gets 40001 for every corp."""
    wrong_corpid: str = "wrong"
    """The corpid that gets 40013."""


class DirectorySettings(SettingsGroup):
    """Which members, parties and tags exist: all that are not named as missing here."""

    missing_users: list[str] = Field(default_factory=lambda: ["ghost.*"])
    """Regular expressions of userids that do not exist (invaliduser); case does not matter."""
    unlicensed_users: list[str] = Field(default_factory=lambda: ["unlicensed.*"])
    """Regular expressions of userids without a licence (unlicenseduser)."""
    first_missing_party: int = 900_000
    """The departments from this id on do not exist."""
    first_missing_tag: int = 900_000
    """The tags from this id on do not exist."""
    members_per_group: int = 3
    """How many members a made-up group has: department 12 p12u1, p12u2, ...; tag 4 t4u1, ..."""
    parties: dict[str, list[str]] = Field(default_factory=dict)
    """Members of single departments, instead of the made-up ones."""
    tags: dict[str, list[str]] = Field(default_factory=dict)
    """Members of single tags, instead of the made-up ones."""
    everyone: list[str] = Field(default_factory=lambda: ["all1", "all2", "all3"])
    """The userids that `@all` reaches."""
    names: dict[str, str] = Field(default_factory=dict)
    """Userid or department -> the name that id translation shows; others are called `name of ID`."""
    lower_case: bool = True
    """Refused userids come back in lower case."""
    all_invalid_keeps_case: bool = False
    """(unconfirmed) 81013 echoes the case as it was sent, which was seen once."""
    empty_lists: Literal["absent", "empty"] = "absent"
    """(unconfirmed) A reply with refused recipients leaves lists without entries out (observed), or has them empty
    (samples)."""
