"""Corps, apps and access tokens.

Does not know messages. An app is found by (corpid, secret); a token belongs to one app.
"""

import secrets
from collections import defaultdict, deque
from dataclasses import dataclass, field

from worker_simulator.answers import Refused
from worker_simulator.clock import Clock
from worker_simulator.settings import AppSettings, SimulatorSettings

HOUR = 3600.0


@dataclass(slots=True)
class AppToken:
    """An access token and until when it is good."""

    value: str
    app: "App"
    expires_at: float
    revoked: bool = False


@dataclass(slots=True, eq=False)
class App:
    """An app that has asked for a token at least once."""

    settings: AppSettings
    name: str
    task_ids: dict[str, float] = field(default_factory=dict)
    token: AppToken | None = None

    @property
    def corpid(self) -> str:
        """The corp it belongs to."""
        return self.settings.corpid


class AppBook:
    """All apps and tokens of the fake vendor."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._apps: dict[tuple[str, str], App] = {}
        self._tokens: dict[str, AppToken] = {}
        self._bad_secrets: defaultdict[str, deque[float]] = defaultdict(deque)

    def login(self, corpid: str, secret: str, ip: str) -> AppToken:
        """The token of gettoken, or its refusal."""
        self._refuse_banned(ip)
        if not corpid:
            raise Refused(41002)
        if not secret:
            raise Refused(41004)
        try:
            app = self._app(corpid, secret)
        except Refused as refused:
            self._note_bad_secret(ip, refused.code)
            raise
        return self._current(app)

    def granted(self, settings: AppSettings) -> AppToken:
        """The token of an app that a corp granted to a suite, whose permanent code stands for its secret."""
        name = f"{settings.corpid}/{settings.agentid or len(self._apps) + 1}"
        return self._current(self._apps.setdefault((settings.corpid, settings.secret), App(settings, name)))

    def change_grant(self, settings: AppSettings) -> None:
        """Takes what a corp now grants to an app of a suite, which keeps its token."""
        own = (settings.corpid, settings.secret)
        if own in self._apps:
            self._apps[own].settings = settings
        self._settings.apps[:] = [settings if (one.corpid, one.secret) == own else one for one in self._settings.apps]

    def revoke_of(self, corpid: str, secret: str) -> None:
        """Invalidate the tokens of one app."""
        for token in self._tokens.values():
            if (token.app.corpid, token.app.settings.secret) == (corpid, secret):
                token.revoked = True

    def by_token(self, value: str | None, ip: str) -> App:
        """The app a call's token stands for, if the token is good and the caller trusted."""
        if not value:
            raise Refused(41001)
        token = self._tokens.get(value)
        if token is None:
            raise Refused(40014)
        if token.revoked:
            raise Refused(self._settings.token.revoked_code)
        if token.expires_at <= self._clock.now():
            raise Refused(self._settings.token.expired_code)
        token.app.settings = self.settings_of(token.app)
        trusted = token.app.settings.trusted_ips
        if trusted is not None and ip not in trusted:
            raise Refused(60020)
        return token.app

    def settings_of(self, app: App) -> AppSettings:
        """An app's settings as they are now, its agentid known or not."""
        own = app.settings
        known = (one for one in self._settings.apps if (one.corpid, one.secret) == (own.corpid, own.secret))
        return next(known, own)

    def named(self, corpid: str, agentid: int) -> AppSettings | None:
        """The app of the settings with this agentid, else the one of the corp that takes any; None: there is none."""
        of_corp = [one for one in self._settings.apps if one.corpid == corpid]
        return next((one for wanted in (agentid, None) for one in of_corp if one.agentid == wanted), None)

    def configured(self, corpid: str, agentid: int) -> AppSettings:
        """An app of the settings, for control; ValueError when there is none."""
        app = self.named(corpid, agentid)
        if app is None:
            raise ValueError(f"app {agentid} of {corpid} has no callback_url: it is not among the apps of the settings")
        return app

    def check_agent(self, app: App, agentid: int) -> None:
        """Refuse an agentid that is not the app's: 301002 when it is another app's, else 40056."""
        own = app.settings.agentid
        if own is None or own == agentid:
            return
        others = (known.agentid for known in self._settings.apps if known.corpid == app.corpid)
        raise Refused(301002 if agentid in others else 40056)

    def expire(self, which: str) -> int:
        """Let one token, or `all`, be expired; how many were."""
        chosen = self._chosen(which)
        for token in chosen:
            token.expires_at = self._clock.now()
        return len(chosen)

    def revoke(self, which: str) -> int:
        """Invalidate one token, or `all`; how many were."""
        chosen = self._chosen(which)
        for token in chosen:
            token.revoked = True
        return len(chosen)

    def _chosen(self, which: str) -> list[AppToken]:
        return [token for token in self._tokens.values() if which in ("all", token.value)]

    def _app(self, corpid: str, secret: str) -> App:
        known = self._configured(corpid, secret)
        app = self._apps.get((corpid, secret))
        if app is None:
            app = App(known, f"{corpid}/{known.agentid or len(self._apps) + 1}")
            self._apps[corpid, secret] = app
        app.settings = known
        return app

    def _configured(self, corpid: str, secret: str) -> AppSettings:
        rules = self._settings.token
        if corpid == rules.wrong_corpid:
            raise Refused(40013)
        if secret == rules.wrong_secret:
            raise Refused(40001)
        for known in self._settings.apps:
            if (known.corpid, known.secret) == (corpid, secret):
                return _usable(known)
        return self._unconfigured(corpid, secret)

    def _unconfigured(self, corpid: str, secret: str) -> AppSettings:
        if any(known.secret == secret for known in self._settings.apps):
            raise Refused(40091)
        if any(known.corpid == corpid for known in self._settings.apps):
            raise Refused(40001)
        if not self._settings.open:
            raise Refused(40013)
        return AppSettings(corpid=corpid, secret=secret)

    def _current(self, app: App) -> AppToken:
        now, rules = self._clock.now(), self._settings.token
        old = app.token
        if old is not None and not old.revoked and old.expires_at - now > rules.same_while_left_s:
            return old
        app.token = AppToken(f"tok_{secrets.token_hex(24)}", app, now + rules.lifetime_s)
        self._tokens[app.token.value] = app.token
        return app.token

    def _note_bad_secret(self, ip: str, code: int) -> None:
        if code in (40001, 40091):
            self._bad_secrets[ip].append(self._clock.now())

    def _refuse_banned(self, ip: str) -> None:
        """2,000 wrong secrets an hour ban the IP for an hour (help of 45009, staff answer)."""
        tries = self._bad_secrets[ip]
        while tries and tries[0] <= self._clock.now() - HOUR:
            tries.popleft()
        if len(tries) >= self._settings.token.bad_secrets_per_hour:
            raise Refused(45009)


def _usable(app: AppSettings) -> AppSettings:
    if not app.enabled:
        raise Refused(50003)
    if app.secret_unsafe:
        raise Refused(45031)
    return app
