"""Settings of group sends (customers, results, caps), and of the suites of providers."""

from typing import Literal

from pydantic import Field

from worker_simulator.settings.people import CalledBack, SettingsGroup


class ExternalSettings(SettingsGroup):
    """Group sends; a code of 0 accepts what it would refuse."""

    permitted: bool = True
    """The apps may call customer contact; else 48002 everywhere."""
    missing: list[str] = Field(default_factory=lambda: ["ghost.*"])
    """Regular expressions of customers and groups that do not exist (fail_list)."""
    former: list[str] = Field(default_factory=lambda: ["former.*"])
    """Regular expressions of customers who are no contact any more once a member sends (status 2)."""
    customers: dict[str, list[str]] = Field(default_factory=dict)
    """All customers of single members; for any other member each id that a call names is one, unless missing."""
    groups: dict[str, list[str]] = Field(default_factory=dict)
    """All groups of single owners; for any other owner each id that a call names is one, unless missing."""
    made_up: int = 3
    """How many customers and groups a member has if none are configured: `wm-MEMBER-1`, `wr-MEMBER-1`."""
    talked_last: dict[str, str] = Field(default_factory=dict)
    """Customer -> the member who talked with them last; others talked with `service1`."""
    tags: dict[str, list[str]] = Field(default_factory=dict)
    """Customer -> corp tags."""
    missing_tags: list[str] = Field(default_factory=lambda: ["ghost.*"])
    """Regular expressions of tags that do not exist (40068)."""
    missing_sender_code: int = 40003
    """(unconfirmed) A sender who does not exist."""
    invisible_sender_code: int = 60011
    """(unconfirmed) A sender outside the app's visible range."""
    malformed_code: int = 40096
    """(unconfirmed) Every id is malformed."""
    nobody_code: int = 41048
    """(unconfirmed) Every id is well-formed, and none of them can be sent to."""
    picture_code: int = 40058
    """(unconfirmed) A pic_url that is of no uploadimg upload."""
    empty_image_code: int = 41006
    """(unconfirmed) An image without media_id and pic_url."""
    dispatch_s: float = 2.0
    """(unconfirmed) How long queries, reminders and cancels answer 41063 after a task was made."""
    cap: Literal["month", "week", "day", "seed"] = "month"
    """What a customer or group takes: `month`, as many as the month has days; `week`, 7; `day`, 1; `seed` (2022), 4 a
    month."""
    capped_in_fail_list: bool = False
    """(unconfirmed) Recipients whose cap is used up stand in fail_list, instead of status 3 later."""
    unsent_listed: bool = True
    """(unconfirmed) Results list customers who were not sent to yet. Groups are never listed before."""
    max_page_size: int = 0
    """No page has more entries than this, whatever the call asks for. 0: only the vendor's own limits."""
    reminders_per_day: int = 3
    """Reminders of a task in 24 h."""
    cancelled_query_code: int = 0
    """(unconfirmed) Queries about a cancelled task: 0 or 41093."""


class SuiteSettings(CalledBack):
    """One suite the vendor knows: a third-party app, or a template of apps that are developed for one corp."""

    suite_id: str
    """The id of the suite, or of the template."""
    secret: str
    """The suite_secret of get_suite_token."""
    provider_corpid: str = "wwprovider"
    """The corp of its provider. The verification of its callback URL is encrypted for it."""

    @property
    def receiver(self) -> str:
        """The ReceiveId of its events' envelopes."""
        return self.suite_id

    @property
    def name(self) -> str:
        """The suite's name in messages to people."""
        return f"suite {self.suite_id}"

    def wrap(self, encrypted: str) -> str:
        """The body of a callback."""
        return (
            f"<xml><ToUserName><![CDATA[{self.suite_id}]]></ToUserName>"
            f"<Encrypt><![CDATA[{encrypted}]]></Encrypt><AgentID><![CDATA[]]></AgentID></xml>"
        )


class SuiteRules(SettingsGroup):
    """What suites are, and how long what they get is good."""

    known: list[SuiteSettings] = Field(default_factory=list)
    """The suites that the vendor knows: third-party apps, and templates of apps that are developed for one corp."""
    ticket_s: float = 1800
    """How many seconds a suite_ticket is valid."""
    only_newest_ticket: bool = False
    """(unconfirmed) A new suite_ticket ends the one before."""
    token_s: float = 7200
    """How many seconds a suite_access_token is valid."""
    same_while_left_s: float = 600
    """(unconfirmed) get_suite_token repeats the current token while more than this is left."""
    auth_code_s: float = 600
    """How many seconds an authorisation code is valid. It can be used once."""
    bad_token_code: int = 40082
    """The errcode of an invalid suite_access_token."""
    expired_token_code: int = 42009
    """(unconfirmed) The errcode of an expired suite_access_token."""
    cancel_revokes: bool = True
    """(unconfirmed) A withdrawn authorisation ends the corp's tokens at once."""
    errcode_on_success: bool = False
    """The three calls for providers answer errcode 0 too; page 90605 gives none "for historical reasons", samples have
    one."""
