"""Suites: which there are, how long their credentials live, and what is answered where the vendor's pages are silent.

Does not know how any of it is carried out.
"""

from pydantic import Field

from worker_simulator.settings.called_back import CalledBack
from worker_simulator.settings.group import SettingsGroup


class SuiteSettings(CalledBack):
    """One suite the vendor knows: a third-party app, or a template of apps that are developed for one corp."""

    suite_id: str
    """The id of the suite, or of the template."""
    secret: str
    """What get_suite_token takes for it."""
    provider_corpid: str = "wwprovider"
    """The corp of its provider, which the verification of its address is sealed for."""

    @property
    def receiver(self) -> str:
        """The ReceiveId of its events' envelopes."""
        return self.suite_id

    @property
    def name(self) -> str:
        """The suite's name in messages to people."""
        return f"suite {self.suite_id}"

    def wrapped(self, encrypted: str) -> str:
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
    """How long a suite_ticket is good."""
    only_newest_ticket: bool = False
    """(unconfirmed) A new suite_ticket ends the one before."""
    token_s: float = 7200
    """How long a suite_access_token is good."""
    same_while_left_s: float = 600
    """(unconfirmed) get_suite_token repeats the current token while more than this is left."""
    auth_code_s: float = 600
    """How long an authorisation code is good, which can be used once."""
    bad_token_code: int = 40082
    """The code of a suite_access_token that is none."""
    expired_token_code: int = 42009
    """(unconfirmed) The code of a suite_access_token whose time is over."""
    cancel_revokes: bool = True
    """(unconfirmed) A withdrawn authorisation ends the corp's tokens at once."""
    errcode_on_success: bool = False
    """The three calls for providers answer errcode 0 too; page 90605 gives none "for historical reasons", samples have
    one."""
