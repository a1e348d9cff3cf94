"""The apps and members that the vendor knows; and the address for callbacks, as apps, suites and webhooks have one."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from worker.crypto.envelope import Envelope


class SettingsGroup(BaseModel):
    """A group of settings: unknown names are refused, assignments are checked."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class CalledBack(SettingsGroup):
    """Registered an address for callbacks, or not yet."""

    callback_url: str | None = None
    """Where its callbacks go; None: what people press and write goes nowhere."""
    callback_token: str = ""
    """The Token with which its callbacks are signed."""
    callback_aes_key: str = ""
    """The EncodingAESKey with which its callbacks are sealed."""

    def sealed(self, message: bytes, receiver: str, timestamp: str, nonce: str, random: bytes) -> tuple[str, str]:
        """The encrypted message and its signature."""
        return Envelope(self.callback_token, self.callback_aes_key, receiver).seal(message, timestamp, nonce, random)


class AppSettings(CalledBack):
    """One app the vendor knows; its corp then accepts no secrets but the configured ones."""

    corpid: str
    """The corp that it is of."""
    secret: str
    """What gettoken takes for it."""
    agentid: int | None = None
    """The agentid of its messages; None: any one passes."""
    callback: bool = True
    """It has a callback URL; without one cards with buttons are refused (43012)."""
    enabled: bool = True
    """It is enabled; otherwise gettoken answers 50003."""
    secret_unsafe: bool = False
    """Its secret was found to be unsafe: gettoken answers 45031."""
    miniprogram: bool = True
    """It is a mini-program app; others may not send miniprogram_notice (48002)."""
    mini_programs: list[str] | None = None
    """The appids linked to it; None: any. Others are refused where a message leads to one (90206)."""
    root_scope: bool = True
    """Its visible range is the root department; without that there are no group chats (`chat.no_scope_code`)."""
    wechat_plugin_home: bool = False
    """In the WeChat plugin it always opens its home page: members see 20 bytes of a text there, and no other type."""
    group_sends: bool = True
    """It may call customer contact: it is among 可调用接口的应用, or its suite was granted 群发消息给客户和客户群.
    Others get 48002."""
    visible: list[str] | None = None
    """Userids the app may reach; None: all."""
    trusted_ips: list[str] | None = None
    """Callers allowed; None: all. Others get 60020 everywhere but at gettoken."""

    @property
    def receiver(self) -> str:
        """The ReceiveId of its callbacks' envelopes."""
        return self.corpid

    @property
    def name(self) -> str:
        """The app's name in messages to people."""
        return f"the app of {self.corpid}" if self.agentid is None else f"app {self.agentid} of {self.corpid}"

    def wrapped(self, encrypted: str) -> str:
        """The body of a callback."""
        return (
            f"<xml><ToUserName><![CDATA[{self.corpid}]]></ToUserName><AgentID><![CDATA[{self.agentid}]]></AgentID>"
            f"<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
        )


class TokenSettings(SettingsGroup):
    """How tokens live."""

    lifetime_s: float = 7200
    """How long a token is good."""
    same_while_left_s: float = 600
    """(unconfirmed) gettoken repeats the current token while more than this is left."""
    expired_code: Literal[42001, 40014] = 42001
    """The code of an expired token; both were observed."""
    revoked_code: int = 40014
    """The code of a token that was revoked, or never issued."""
    bad_secrets_per_hour: int = 2000
    """Refused secrets of one IP within an hour before it is banned for an hour (45009)."""
    wrong_secret: str = "wrong"
    """This secret answers 40001 for every corp."""
    wrong_corpid: str = "wrong"
    """This corpid answers 40013."""


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
    """Userids that `@all` reaches."""
    names: dict[str, str] = Field(default_factory=dict)
    """Userid or department -> the name that id translation shows; others are called `name of ID`."""
    lower_case: bool = True
    """Refused userids come back in lower case."""
    all_invalid_keeps_case: bool = False
    """(unconfirmed) 81013 echoes the case as it was sent, which was seen once."""
    empty_lists: Literal["absent", "empty"] = "absent"
    """(unconfirmed) A reply with refused recipients leaves lists without entries out (observed), or has them empty
    (samples)."""
