"""Access tokens: each gettoken issues a new one, for one app.

Does not know messages and envelopes.
"""

import secrets
from dataclasses import dataclass

from worker_simulator.clock import Clock
from worker_simulator.settings.youdu import YouduApp, YouduSettings
from worker_simulator.youdu.calls.refused import YouduRefused


@dataclass(slots=True)
class YouduToken:
    """One token."""

    appid: str
    expires_at: float


class TokenBook:
    """All tokens by their value."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tokens: dict[str, YouduToken] = {}

    def issue(self, app: YouduApp, settings: YouduSettings) -> str:
        """A new token; whether older ones live on is a setting."""
        if not settings.old_tokens_live:
            self._tokens = {value: token for value, token in self._tokens.items() if token.appid != app.appid}
        value = f"yt_{secrets.token_hex(24)}"
        self._tokens[value] = YouduToken(app.appid, self._clock.now() + settings.token_lifetime_s)
        return value

    def check(self, value: str | None, app: YouduApp) -> None:
        """Refuse a token that is not this app's, or not good any more."""
        if not value:
            raise YouduRefused(100000)
        token = self._tokens.get(value)
        if token is None or token.appid != app.appid:
            raise YouduRefused(100001)
        if token.expires_at <= self._clock.now():
            raise YouduRefused(100002)

    def expire(self, which: str) -> int:
        """Expire one token, or `all`; returns how many there were."""
        chosen = [token for value, token in self._tokens.items() if which in ("all", value)]
        for token in chosen:
            token.expires_at = self._clock.now()
        return len(chosen)

    def forget(self) -> int:
        """Forget all tokens, as a restart does; returns how many there were."""
        count = len(self._tokens)
        self._tokens.clear()
        return count
