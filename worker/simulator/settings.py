"""Everything about the fake vendor that can be set, with a default for each point the vendor left unconfirmed.

Refuses to know how any setting is carried out. Points marked (unconfirmed) are guesses written down in
`wecom-app.md`, section 12; the worker has to be right under every value.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    """A group of settings: unknown names are refused, assignments are checked."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class AppSettings(Part):
    """One app the vendor knows; its corp then accepts no secrets but the configured ones."""

    corpid: str
    secret: str
    agentid: int | None = None
    """None: any agentid passes."""
    callback: bool = True
    """Has a callback URL; without one interactive cards are refused (43012)."""
    callback_url: str | None = None
    """Where its callbacks go; None: nobody can press its cards."""
    callback_token: str = ""
    callback_aes_key: str = ""
    enabled: bool = True
    """False: gettoken answers 50003."""
    secret_unsafe: bool = False
    """True: gettoken answers 45031."""
    miniprogram: bool = True
    """A mini-program app; others may not send miniprogram_notice (48002)."""
    visible: list[str] | None = None
    """Userids the app may reach; None: everybody."""
    trusted_ips: list[str] | None = None
    """Callers allowed; None: all. Others get 60020 everywhere but at gettoken."""


class TokenSettings(Part):
    """How tokens live."""

    lifetime_s: float = 7200
    same_while_left_s: float = 600
    """(unconfirmed) gettoken repeats the current token while more than this is left."""
    expired_code: Literal[42001, 40014] = 42001
    """Both were observed for an expired token."""
    revoked_code: int = 40014
    bad_secrets_per_hour: int = 2000
    """Refused secrets of one IP within an hour before it is banned for an hour (45009)."""
    wrong_secret: str = "wrong"
    """This secret answers 40001 for every corp."""
    wrong_corpid: str = "wrong"
    """This corpid answers 40013."""


class DirectorySettings(Part):
    """Who exists; everybody not named here does."""

    missing_users: list[str] = Field(default_factory=lambda: ["ghost.*"])
    """Regular expressions of userids that do not exist (invaliduser); case does not matter."""
    unlicensed_users: list[str] = Field(default_factory=lambda: ["unlicensed.*"])
    """Regular expressions of userids without a licence (unlicenseduser)."""
    first_missing_party: int = 900_000
    first_missing_tag: int = 900_000
    members_per_group: int = 3
    """Party 12 has the members p12u1, p12u2, ...; tag 4 has t4u1, ..."""
    parties: dict[str, list[str]] = Field(default_factory=dict)
    """Members of single parties, instead of the made-up ones."""
    tags: dict[str, list[str]] = Field(default_factory=dict)
    everyone: list[str] = Field(default_factory=lambda: ["all1", "all2", "all3"])
    """Who `@all` reaches."""
    lower_case: bool = True
    """Refused userids come back in lower case."""
    all_invalid_keeps_case: bool = False
    """81013 was once seen echoing the case as sent."""


class DuplicateSettings(Part):
    """What the duplicate check takes for the same request, and what it answers (all unconfirmed)."""

    compare: Literal["bytes", "flagless"] = "bytes"
    """bytes: the exact body; flagless: the JSON without enable_duplicate_check and duplicate_check_interval."""
    refused_counts: bool = False
    """A call that was refused is remembered too, so its honest repeat is swallowed."""
    unflagged_counts: bool = False
    """A call without the flag is remembered too, as an original for flagged ones."""
    answers: Literal["first_msgid", "new_msgid", "no_msgid"] = "first_msgid"
    """What a suppressed repeat is told; a new msgid belongs to nothing anybody sees."""
    repeat_extends: bool = False
    """A suppressed repeat starts the window again."""
    before_task_id: bool = False
    """The check comes before task_id uniqueness; else a repeated card answers 42014."""


class LimitSettings(Part):
    """Amounts and what happens beyond them; 0 switches a limit off."""

    enforce: Literal["sliding", "aligned", "none"] = "sliding"
    """Which windows refuse; both are always watched for `violations`. Days are calendar days in Shanghai."""
    api_per_minute: int = 10_000
    """Per corp and API, without message/send."""
    api_per_hour: int = 150_000
    ip_per_minute: int = 20_000
    ip_per_hour: int = 600_000
    member_per_minute: int = 30
    """Per app and member, message/send."""
    member_per_hour: int = 1000
    member_excess: Literal["drop", "refuse"] = "drop"
    """(unconfirmed) drop: the member silently gets nothing; refuse: 45009 for the call."""
    account_cap: int = 10_000
    """Members the corp may have; person-times per app and day are 200 times that."""
    penalty: bool = True
    """A 45009 blocks its key as long as the window it overstepped."""
    concurrent_calls: int = 0
    """(unconfirmed) calls in the air per API before 45033; 0: no limit."""


class RecallSettings(Part):
    """Recalls."""

    window_s: float = 86_400
    unknown_code: int = 40058
    """(unconfirmed) an unknown msgid."""
    twice_code: int = 0
    """(unconfirmed) a msgid recalled before."""


class CardSettings(Part):
    """Updates of cards."""

    code_lifetime_s: float = 259_200
    """72 h; older texts say 24 h."""
    consumed_on_error: bool = False
    """(unconfirmed) a failing update spends its response_code."""
    foreign_code: int = 42015
    """A response_code of another app."""
    no_target_code: int = 82101
    outside_code: int = 82102
    """(unconfirmed) no target is among the recipients; 0 lists them in invaliduser only."""
    recalled_code: int = 0
    """(unconfirmed) the message was recalled before."""
    atall_with_lists_code: int = 0
    """(unconfirmed) atall together with lists; 0: atall wins."""


class CallbackSettings(Part):
    """How callbacks are delivered."""

    deadline_s: float = 5.0
    verify_s: float = 1.0
    tries: int = 4
    """(unconfirmed) one, and three more."""
    retry_on: Literal["non_200", "failure", "none"] = "non_200"
    """(unconfirmed) any answer but 200 is repeated (90238), or only no answer at all (90930)."""
    pause_s: float = 0.2
    """(unconfirmed) between two tries."""
    copies: int = 1
    """Deliveries of an event that was taken already."""
    shuffle_s: float = 0.0
    """Each event waits for a random part of this first, so that they overtake each other."""
    wrong_signature: bool = False
    wrong_receiver: bool = False
    """Sealed for another corp."""


class MediaSettings(Part):
    """Uploads."""

    lifetime_s: float = 259_200
    max_bytes: dict[str, int] = Field(
        default_factory=lambda: {"image": 10 << 20, "voice": 2 << 20, "video": 10 << 20, "file": 20 << 20}
    )
    check_format: bool = True
    """Images must be JPG or PNG (40123), voices AMR (301017), videos MP4 (41090), by their first bytes."""


class CodeSettings(Part):
    """Answers to wrong bodies whose code or measure is unconfirmed."""

    all_empty: int = 82001
    """No recipient at all: 82001 or 81012."""
    url_too_long: int = 40058
    url_without_scheme: int = 40094
    """40094 or 45034."""
    field_too_long: int = 40058
    article_appid: int = 90207
    """Only one of appid and pagepath in an article."""
    textcard_unit: Literal["chars", "bytes"] = "chars"
    suggested_length: int = 0
    """A code that refuses card texts longer than suggested; 0 accepts them."""
    cut_character: Literal["dropped", "replaced"] = "dropped"
    """A cut inside a character drops it or shows U+FFFD."""
    escaped_json: Literal["accepted", "refused"] = "accepted"
    """`\\uXXXX` in a body: documented as 40033, observed to work."""


class SimulatorSettings(Part):
    """All settings of the simulator."""

    open: bool = True
    """Unknown corps exist: any corpid and secret make an app."""
    apps: list[AppSettings] = Field(default_factory=list)
    token: TokenSettings = Field(default_factory=TokenSettings)
    directory: DirectorySettings = Field(default_factory=DirectorySettings)
    duplicate: DuplicateSettings = Field(default_factory=DuplicateSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    recall: RecallSettings = Field(default_factory=RecallSettings)
    card: CardSettings = Field(default_factory=CardSettings)
    callbacks: CallbackSettings = Field(default_factory=CallbackSettings)
    media: MediaSettings = Field(default_factory=MediaSettings)
    codes: CodeSettings = Field(default_factory=CodeSettings)
    task_id_reserved_s: float | None = None
    """(unconfirmed) how long a task_id stays taken; None: for ever."""
    latency_s: float = 0.0
    latency_by_path: dict[str, float] = Field(default_factory=dict)
    """Latency of single paths, instead of `latency_s`."""
    keep_calls: int = 200_000
    """How many of the last calls `/_control/calls` remembers; taken at start and reset."""

    def merge(self, changes: dict[str, Any]) -> None:
        """Take over `changes`, nested as the settings are, or raise and change nothing."""
        changed = SimulatorSettings.model_validate(_merged(self.model_dump(), changes))
        for name in SimulatorSettings.model_fields:
            setattr(self, name, getattr(changed, name))


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    result = dict(old)
    for name, value in new.items():
        nested = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = _merged(result[name], value) if nested else value
    return result
