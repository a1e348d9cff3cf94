"""Corps, apps and access tokens. An app is identified by corpid and secret."""

import secrets
from collections import defaultdict, deque
from dataclasses import dataclass, field

from worker_simulator.answers import Refused
from worker_simulator.clock import Clock
from worker_simulator.settings import AppSettings, SimulatorSettings

HOUR = 3600.0


@dataclass(slots=True)
class AppToken:
    """An access token, and when it expires."""

    value: str
    app: "App"
    expires_at: float
    revoked: bool = False


@dataclass(slots=True, eq=False)
class App:
    """An app that has fetched a token at least once."""

    settings: AppSettings
    name: str
    task_ids: dict[str, float] = field(default_factory=dict)
    token: AppToken | None = None

    @property
    def corpid(self) -> str:
        """Its corp."""
        return self.settings.corpid


class AppStore:
    """All apps and tokens."""

    def __init__(self, settings: SimulatorSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._apps: dict[tuple[str, str], App] = {}
        self._tokens: dict[str, AppToken] = {}
        self._bad_secrets: defaultdict[str, deque[float]] = defaultdict(deque)

    def login(self, corpid: str, secret: str, ip: str) -> AppToken:
        """Returns the token that gettoken answers, or refuses the call."""
        self._refuse_banned(ip)
        if not corpid:
            raise Refused(41002)
        if not secret:
            raise Refused(41004)
        try:
            app = self._app(corpid, secret)
        except Refused as refused:
            self._record_bad_secret(ip, refused.code)
            raise
        return self._current(app)

    def grant_token(self, settings: AppSettings) -> AppToken:
        """Returns the token of an app that a corp granted to a suite. The permanent code is its secret."""
        name = f"{settings.corpid}/{settings.agentid or len(self._apps) + 1}"
        return self._current(self._apps.setdefault((settings.corpid, settings.secret), App(settings, name)))

    def change_grant(self, settings: AppSettings) -> None:
        """Changes what a corp grants to an app of a suite. The app keeps its token."""
        key = (settings.corpid, settings.secret)
        if key in self._apps:
            self._apps[key].settings = settings
        self._settings.apps[:] = [settings if (app.corpid, app.secret) == key else app for app in self._settings.apps]

    def revoke_tokens_of(self, corpid: str, secret: str) -> None:
        """Revokes the tokens of one app."""
        for token in self._tokens.values():
            if (token.app.corpid, token.app.settings.secret) == (corpid, secret):
                token.revoked = True

    def by_token(self, value: str | None, ip: str) -> App:
        """Returns the app of a token. Refuses a token that is not valid, and a caller that is not trusted."""
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
        """Returns the current settings of an app, with or without an agentid."""
        settings = app.settings
        matching = (
            candidate
            for candidate in self._settings.apps
            if (candidate.corpid, candidate.secret) == (settings.corpid, settings.secret)
        )
        return next(matching, settings)

    def find(self, corpid: str, agentid: int) -> AppSettings | None:
        """Returns the app of the settings with this agentid, else the corp's app without one, else None."""
        of_corp = [app for app in self._settings.apps if app.corpid == corpid]
        return next((app for number in (agentid, None) for app in of_corp if app.agentid == number), None)

    def configured(self, corpid: str, agentid: int) -> AppSettings:
        """Returns an app of the settings, for control calls. Raises ValueError if there is none."""
        app = self.find(corpid, agentid)
        if app is None:
            raise ValueError(f"app {agentid} of {corpid} has no callback_url: it is not among the apps of the settings")
        return app

    def check_agent(self, app: App, agentid: int) -> None:
        """Refuses an agentid that is not the app's: 301002 if it is another app's, else 40056."""
        configured = app.settings.agentid
        if configured is None or configured == agentid:
            return
        agentids = (other.agentid for other in self._settings.apps if other.corpid == app.corpid)
        raise Refused(301002 if agentid in agentids else 40056)

    def expire(self, which: str) -> int:
        """Expires one token, or all with `all`. Returns how many there were."""
        chosen = self._select(which)
        for token in chosen:
            token.expires_at = self._clock.now()
        return len(chosen)

    def revoke(self, which: str) -> int:
        """Revokes one token, or all with `all`. Returns how many there were."""
        chosen = self._select(which)
        for token in chosen:
            token.revoked = True
        return len(chosen)

    def _select(self, which: str) -> list[AppToken]:
        return [token for token in self._tokens.values() if which in ("all", token.value)]

    def _app(self, corpid: str, secret: str) -> App:
        settings = self._configured(corpid, secret)
        app = self._apps.get((corpid, secret))
        if app is None:
            app = App(settings, f"{corpid}/{settings.agentid or len(self._apps) + 1}")
            self._apps[corpid, secret] = app
        app.settings = settings
        return app

    def _configured(self, corpid: str, secret: str) -> AppSettings:
        rules = self._settings.token
        if corpid == rules.wrong_corpid:
            raise Refused(40013)
        if secret == rules.wrong_secret:
            raise Refused(40001)
        for app in self._settings.apps:
            if (app.corpid, app.secret) == (corpid, secret):
                return _usable(app)
        return self._unconfigured(corpid, secret)

    def _unconfigured(self, corpid: str, secret: str) -> AppSettings:
        if any(app.secret == secret for app in self._settings.apps):
            raise Refused(40091)
        if any(app.corpid == corpid for app in self._settings.apps):
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

    def _record_bad_secret(self, ip: str, code: int) -> None:
        if code in (40001, 40091):
            self._bad_secrets[ip].append(self._clock.now())

    def _refuse_banned(self, ip: str) -> None:
        """Refuses an IP for an hour after 2,000 wrong secrets in an hour (help of 45009, answer of staff)."""
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
