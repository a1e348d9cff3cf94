"""Suites: which there are, how long their credentials live, and what is answered where the vendor's pages are silent.

Does not know how any of it is carried out.
"""

from pydantic import Field

from worker.simulator.settings.called_back import CalledBack
from worker.simulator.settings.group import SettingsGroup


class SuiteSettings(CalledBack):
    """One suite the vendor knows: a third-party app, or a template of apps that are developed for one corp."""

    suite_id: str
    secret: str
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
    ticket_s: float = 1800
    only_newest_ticket: bool = False
    """(unconfirmed) a new suite_ticket ends the one before."""
    token_s: float = 7200
    same_while_left_s: float = 600
    """(unconfirmed) get_suite_token repeats the current token while more than this is left."""
    auth_code_s: float = 600
    bad_token_code: int = 40082
    expired_token_code: int = 42009
    """(unconfirmed) of a suite_access_token whose time is over."""
    cancel_revokes: bool = True
    """(unconfirmed) a withdrawn authorisation ends the corp's tokens at once."""
    errcode_on_success: bool = False
    """Page 90605 gives none "for historical reasons"; samples have one."""
