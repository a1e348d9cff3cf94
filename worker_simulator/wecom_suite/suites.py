"""Suites, their tickets and tokens, and the corps that authorised them.

Does not know how calls and callbacks travel.
"""

import secrets
from dataclasses import dataclass, field

from worker_simulator.answers import Refused
from worker_simulator.clock import Clock
from worker_simulator.settings import AppSettings, SimulatorSettings, SuiteRules, SuiteSettings
from worker_simulator.wecom_app.state.apps import AppBook, AppToken


@dataclass(slots=True)
class Authorisation:
    """What one corp granted to a suite."""

    corpid: str
    agentid: int | None
    customized: bool
    """An app that was developed for this corp alone (代开发): its permanent code is the secret of gettoken."""
    group_sends: bool = True
    """Whether the app may send to customers."""
    permanent_code: str = ""
    cancelled: bool = False


@dataclass(slots=True)
class AuthCode:
    """An authorisation code that waits for its exchange."""

    suite_id: str
    authorisation: Authorisation
    ends_at: float


@dataclass(slots=True)
class Suite:
    """One suite's memory."""

    tickets: list[tuple[str, float]] = field(default_factory=list)
    """Each with the instant of its issue, oldest first."""
    tokens: dict[str, float] = field(default_factory=dict)
    """Each suite_access_token with its end."""
    authorisations: dict[str, Authorisation] = field(default_factory=dict)
    """By corpid."""
    events: list[bytes] = field(default_factory=list)
    """What was pushed, or was lost on its way."""


class SuiteBook:
    """All suites of the fake vendor."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, apps: AppBook) -> None:
        self._settings, self._clock, self._apps = settings, clock, apps
        self._suites: dict[str, Suite] = {}
        self._codes: dict[str, AuthCode] = {}

    @property
    def _rules(self) -> SuiteRules:
        return self._settings.suite

    def settings_of(self, suite_id: str) -> SuiteSettings:
        """A suite's settings; 40083 where there is no such suite."""
        found = next((one for one in self._rules.known if one.suite_id == suite_id), None)
        if found is None:
            raise Refused(40083)
        return found

    def of(self, suite_id: str) -> Suite:
        """A suite's memory."""
        return self._suites.setdefault(suite_id, Suite())

    # -- what the vendor does -----------------------------------------------------------------------------------------

    def new_ticket(self, suite_id: str, age_s: float) -> str:
        """A ticket that was issued so many seconds ago."""
        ticket = f"ticket@@@{secrets.token_hex(32)}"
        tickets = self.of(suite_id).tickets
        tickets.append((ticket, self._clock.now() - age_s))
        tickets.sort(key=lambda one: one[1])
        return ticket

    def authorise(self, suite_id: str, granted: Authorisation) -> str:
        """An authorisation code for a corp's new authorisation, or for a new permanent code of the one it has."""
        code = f"auth_{secrets.token_hex(40)}"
        self._codes[code] = AuthCode(suite_id, granted, self._clock.now() + self._rules.auth_code_s)
        return code

    def cancel(self, suite_id: str, corpid: str) -> None:
        """A corp withdraws its authorisation."""
        granted = self._granted(suite_id, corpid)
        granted.cancelled = True
        self._forget_app(granted)
        if self._rules.cancel_revokes:
            self._apps.revoke_of(corpid, granted.permanent_code)

    def change(self, suite_id: str, corpid: str, *, group_sends: bool) -> None:
        """Changes what a corp grants; its code and tokens stay."""
        granted = self.known_authorisation(suite_id, corpid)
        granted.group_sends = group_sends
        self._apps.change_grant(self._app(granted))

    def known_authorisation(self, suite_id: str, corpid: str) -> Authorisation:
        """The authorisation that a corp has given and not withdrawn; ValueError: it has none."""
        granted = self._granted(suite_id, corpid)
        if granted.cancelled:
            raise ValueError(f"{corpid} has withdrawn its authorisation")
        return granted

    def expire_tokens(self, suite_id: str) -> int:
        """Expires every token of a suite; returns how many there were."""
        tokens = self.of(suite_id).tokens
        for value in tokens:
            tokens[value] = self._clock.now()
        return len(tokens)

    # -- what the provider asks ---------------------------------------------------------------------------------------

    def suite_token(self, suite_id: str, secret: str, ticket: str) -> tuple[str, float]:
        """The token of get_suite_token with its seconds."""
        now, rules = self._clock.now(), self._rules
        if self.settings_of(suite_id).secret != secret:
            raise Refused(40080)
        suite = self.of(suite_id)
        good = suite.tickets[-1:] if rules.only_newest_ticket else suite.tickets
        if not any(known == ticket and issued_at + rules.ticket_s > now for known, issued_at in good):
            raise Refused(40085)
        for value, ends_at in suite.tokens.items():
            if ends_at - now > rules.same_while_left_s:
                return value, ends_at - now
        value = f"suite_{secrets.token_hex(32)}"
        suite.tokens[value] = now + rules.token_s
        return value, rules.token_s

    def suite_of(self, token: str) -> str:
        """The suite that a suite_access_token stands for."""
        for suite_id, suite in self._suites.items():
            if token in suite.tokens:
                if suite.tokens[token] <= self._clock.now():
                    raise Refused(self._rules.expired_token_code)
                return suite_id
        raise Refused(self._rules.bad_token_code)

    def exchange(self, suite_id: str, code: str) -> Authorisation:
        """The authorisation with its permanent code, once for each authorisation code."""
        held = self._codes.get(code)
        if held is None or held.suite_id != suite_id or held.ends_at <= self._clock.now():
            raise Refused(40078)
        del self._codes[code]
        granted = held.authorisation
        self._forget_app(granted)
        granted.permanent_code, granted.cancelled = f"perm_{secrets.token_hex(32)}", False
        self.of(suite_id).authorisations[granted.corpid] = granted
        if granted.customized:
            self._settings.apps.append(self._app(granted))
        return granted

    def corp_token(self, suite_id: str, corpid: str, permanent_code: str) -> AppToken:
        """The token of get_corp_token."""
        granted = self.of(suite_id).authorisations.get(corpid)
        if granted is None or granted.cancelled or granted.permanent_code != permanent_code:
            raise Refused(40084)
        return self._apps.granted(self._app(granted))

    def shown(self) -> dict[str, object]:
        """As control shows it."""
        return {
            suite_id: {
                "tickets": len(suite.tickets),
                "tokens": list(suite.tokens),
                "events": len(suite.events),
                "authorisations": {
                    corpid: {"agentid": one.agentid, "permanent_code": one.permanent_code, "cancelled": one.cancelled}
                    for corpid, one in suite.authorisations.items()
                },
            }
            for suite_id, suite in self._suites.items()
        }

    def _granted(self, suite_id: str, corpid: str) -> Authorisation:
        granted = self.of(suite_id).authorisations.get(corpid)
        if granted is None:
            raise ValueError(f"{corpid} has given no authorisation that was exchanged")
        return granted

    def _app(self, granted: Authorisation) -> AppSettings:
        return AppSettings(
            corpid=granted.corpid,
            secret=granted.permanent_code,
            agentid=granted.agentid,
            group_sends=granted.group_sends,
        )

    def _forget_app(self, granted: Authorisation) -> None:
        own = (granted.corpid, granted.permanent_code)
        self._settings.apps[:] = [one for one in self._settings.apps if (one.corpid, one.secret) != own]
