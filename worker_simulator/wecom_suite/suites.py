"""Suites, their tickets and tokens, and the corps that authorised them."""

import secrets
from dataclasses import dataclass, field

from worker_simulator.answers import Refused
from worker_simulator.clock import Clock
from worker_simulator.settings import AppSettings, SimulatorSettings, SuiteRules, SuiteSettings
from worker_simulator.wecom_app.state.apps import AppStore, AppToken


@dataclass(slots=True)
class Authorisation:
    """What a corp granted to a suite."""

    corpid: str
    agentid: int | None
    customized: bool
    """An app that was developed only for this corp (代开发). Its permanent code is the secret of gettoken."""
    group_sends: bool = True
    """True if the app may send to customers."""
    permanent_code: str = ""
    cancelled: bool = False


@dataclass(slots=True)
class AuthCode:
    """An authorisation code that was not exchanged yet."""

    suite_id: str
    authorisation: Authorisation
    ends_at: float


@dataclass(slots=True)
class Suite:
    """The state of one suite."""

    tickets: list[tuple[str, float]] = field(default_factory=list)
    """Each with the time of its issue, oldest first."""
    tokens: dict[str, float] = field(default_factory=dict)
    """suite_access_token -> when it expires."""
    authorisations: dict[str, Authorisation] = field(default_factory=dict)
    """By corpid."""
    events: list[bytes] = field(default_factory=list)
    """The events that were sent or lost."""


class SuiteStore:
    """All suites."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, apps: AppStore) -> None:
        self._settings, self._clock, self._apps = settings, clock, apps
        self._suites: dict[str, Suite] = {}
        self._codes: dict[str, AuthCode] = {}

    @property
    def _rules(self) -> SuiteRules:
        return self._settings.suite

    def settings_of(self, suite_id: str) -> SuiteSettings:
        """Returns a suite's settings. Refuses an unknown suite with 40083."""
        suite = next((candidate for candidate in self._rules.known if candidate.suite_id == suite_id), None)
        if suite is None:
            raise Refused(40083)
        return suite

    def of(self, suite_id: str) -> Suite:
        """Returns a suite's state."""
        return self._suites.setdefault(suite_id, Suite())

    # -- what the vendor does -----------------------------------------------------------------------------------------

    def new_ticket(self, suite_id: str, age_s: float) -> str:
        """Returns a new ticket that was issued `age_s` seconds ago."""
        ticket = f"ticket@@@{secrets.token_hex(32)}"
        tickets = self.of(suite_id).tickets
        tickets.append((ticket, self._clock.now() - age_s))
        tickets.sort(key=lambda entry: entry[1])
        return ticket

    def authorise(self, suite_id: str, granted: Authorisation) -> str:
        """Returns an authorisation code, for a new authorisation or for a new permanent code."""
        code = f"auth_{secrets.token_hex(40)}"
        self._codes[code] = AuthCode(suite_id, granted, self._clock.now() + self._rules.auth_code_s)
        return code

    def cancel(self, suite_id: str, corpid: str) -> None:
        """Withdraws a corp's authorisation."""
        granted = self._granted(suite_id, corpid)
        granted.cancelled = True
        self._forget_app(granted)
        if self._rules.cancel_revokes:
            self._apps.revoke_tokens_of(corpid, granted.permanent_code)

    def change(self, suite_id: str, corpid: str, *, group_sends: bool) -> None:
        """Changes what a corp grants. Its permanent code and tokens stay."""
        granted = self.active_authorisation(suite_id, corpid)
        granted.group_sends = group_sends
        self._apps.change_grant(self._app(granted))

    def active_authorisation(self, suite_id: str, corpid: str) -> Authorisation:
        """Returns a corp's authorisation. Raises ValueError if there is none or it was withdrawn."""
        granted = self._granted(suite_id, corpid)
        if granted.cancelled:
            raise ValueError(f"{corpid} has withdrawn its authorisation")
        return granted

    def expire_tokens(self, suite_id: str) -> int:
        """Expires every token of a suite. Returns how many there were."""
        tokens = self.of(suite_id).tokens
        for value in tokens:
            tokens[value] = self._clock.now()
        return len(tokens)

    # -- what the provider asks ---------------------------------------------------------------------------------------

    def suite_token(self, suite_id: str, secret: str, ticket: str) -> tuple[str, float]:
        """Returns the token of get_suite_token, and for how many seconds it is valid."""
        now, rules = self._clock.now(), self._rules
        if self.settings_of(suite_id).secret != secret:
            raise Refused(40080)
        suite = self.of(suite_id)
        valid = suite.tickets[-1:] if rules.only_newest_ticket else suite.tickets
        if not any(issued == ticket and issued_at + rules.ticket_s > now for issued, issued_at in valid):
            raise Refused(40085)
        for value, ends_at in suite.tokens.items():
            if ends_at - now > rules.same_while_left_s:
                return value, ends_at - now
        value = f"suite_{secrets.token_hex(32)}"
        suite.tokens[value] = now + rules.token_s
        return value, rules.token_s

    def suite_of(self, token: str) -> str:
        """Returns the suite of a suite_access_token."""
        for suite_id, suite in self._suites.items():
            if token in suite.tokens:
                if suite.tokens[token] <= self._clock.now():
                    raise Refused(self._rules.expired_token_code)
                return suite_id
        raise Refused(self._rules.bad_token_code)

    def exchange(self, suite_id: str, code: str) -> Authorisation:
        """Returns the authorisation with a permanent code. Each authorisation code works once."""
        auth_code = self._codes.get(code)
        if auth_code is None or auth_code.suite_id != suite_id or auth_code.ends_at <= self._clock.now():
            raise Refused(40078)
        del self._codes[code]
        granted = auth_code.authorisation
        self._forget_app(granted)
        granted.permanent_code, granted.cancelled = f"perm_{secrets.token_hex(32)}", False
        self.of(suite_id).authorisations[granted.corpid] = granted
        if granted.customized:
            self._settings.apps.append(self._app(granted))
        return granted

    def corp_token(self, suite_id: str, corpid: str, permanent_code: str) -> AppToken:
        """Returns the token of get_corp_token."""
        granted = self.of(suite_id).authorisations.get(corpid)
        if granted is None or granted.cancelled or granted.permanent_code != permanent_code:
            raise Refused(40084)
        return self._apps.grant_token(self._app(granted))

    def to_json(self) -> dict[str, object]:
        """Returns every suite for the control API."""
        return {
            suite_id: {
                "tickets": len(suite.tickets),
                "tokens": list(suite.tokens),
                "events": len(suite.events),
                "authorisations": {
                    corpid: {
                        "agentid": granted.agentid,
                        "permanent_code": granted.permanent_code,
                        "cancelled": granted.cancelled,
                    }
                    for corpid, granted in suite.authorisations.items()
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
        key = (granted.corpid, granted.permanent_code)
        self._settings.apps[:] = [app for app in self._settings.apps if (app.corpid, app.secret) != key]
