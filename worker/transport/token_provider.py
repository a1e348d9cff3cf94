"""Gets tokens from the user's own token service: a URL with a bearer secret, or a function of the application.

    # firm/tokens.py, named by token_provider = "firm.tokens:token_of" in [accounts.NAME]
    def token_of(account: str, *, fresh: bool) -> tuple[str, int]:
        return vault.token(account, renew=fresh)  # the token, and for how many seconds it is still valid

Does not decide when to fetch or what is stored. No reason quotes an answer, or the text of an exception.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError as TooLate
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from worker.channels.base import TokenGranted
from worker.channels.wecom.answer import json_of
from worker.config.application import function_named
from worker.domain.account import Account, Egress, TokenProvider
from worker.domain.call import Reply
from worker.domain.errors import ConfigurationError
from worker.transport.faults import REMEDIES
from worker.transport.http import NO_THREAD
from worker.transport.session import Web, WebError, reply_of

MAX_CALLS = 4
"""Calls of one provider at a time in a process, so that a hanging one blocks no more threads than these."""
ABANDONED_S = 300.0
"""Seconds after which a function that has not returned is abandoned, and another call may begin."""
MAX_HANGING = 16
"""Threads in which one function may hang. It is not called again until one of them returns."""
MAX_LIFE_S = 86_400
"""Seconds for which a token is used before the provider is called again, at most."""
_MAX_TOKEN = 4096
"""Characters of a token, at most."""

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class ProviderFailure:
    """Why there is no token now."""

    reason: str
    remedy: str
    busy: bool = False
    """True if the provider is being called for other accounts, so it was not called for this one."""


class TokenProviders:
    """Calls the token providers of one process. Thread-safe."""

    def __init__(self, web: Web, *, deadline_s: float, monotonic: Callable[[], float] = time.monotonic):
        self._web, self._deadline_s, self._monotonic = web, deadline_s, monotonic
        self._lock = threading.Lock()
        self._calls: dict[str, dict[object, float]] = {}
        """Provider to its calls in progress, each with the time it began."""

    def fetch(self, account: Account, provider: TokenProvider, *, fresh: bool) -> TokenGranted | ProviderFailure:
        """Returns the account's token within the deadline. `fresh` means that the vendor refused the last one."""
        name = provider.place if provider.bearer is None else urlsplit(provider.place).netloc
        call = self._enter(name)
        if isinstance(call, ProviderFailure):
            return call
        if provider.bearer is not None:
            try:
                return self._get(account, provider, provider.bearer.read(), fresh=fresh)
            finally:
                self._leave(name, call)
        return self._call(account.name, name, call, fresh=fresh)

    def _enter(self, name: str) -> object | ProviderFailure:
        now = self._monotonic()
        with self._lock:
            calls = self._calls.setdefault(name, {})
            if sum(now - began < ABANDONED_S for began in calls.values()) >= MAX_CALLS:
                return ProviderFailure("the token service is being asked for other accounts", "", busy=True)
            if len(calls) >= MAX_HANGING:
                return ProviderFailure(f"token_provider hangs in {MAX_HANGING} threads", _HANGING_REMEDY)
            call = object()
            calls[call] = now
            return call

    def _leave(self, name: str, call: object) -> None:
        with self._lock:
            del self._calls[name][call]

    # -- a URL --------------------------------------------------------------------------------------------------------

    def _get(
        self, account: Account, provider: TokenProvider, bearer: str, *, fresh: bool
    ) -> TokenGranted | ProviderFailure:
        headers, query = bearer_header(bearer), {"fresh": "1"} if fresh else {}
        # A direct call: the account's proxy is the way to the vendor, and this provider is the user's own.
        session = self._web.session(self._deadline_s, egress=Egress(ca=account.egress.ca))
        try:
            with session:
                answer = session.get(provider.place, params=query, headers=headers, allow_redirects=False)
                return read_reply(reply_of(answer))
        except WebError as error:
            reason = error.reason
            return ProviderFailure(f"the token service does not answer: {reason}", _URL_REMEDY)

    # -- a function ---------------------------------------------------------------------------------------------------

    def _call(self, account: str, name: str, call: object, *, fresh: bool) -> TokenGranted | ProviderFailure:
        future: Future[TokenGranted | ProviderFailure] = Future()

        def work() -> None:
            # A call counts until it has returned, not only until its deadline. Otherwise hanging calls would add up.
            try:
                token = _call_function(account, name, fresh=fresh)
            finally:
                self._leave(name, call)
            future.set_result(token)

        try:
            threading.Thread(target=work, name="token_provider", daemon=True).start()
        except RuntimeError:
            self._leave(name, call)
            return ProviderFailure(NO_THREAD, REMEDIES[NO_THREAD])
        try:
            return future.result(self._deadline_s)
        except TooLate:
            return ProviderFailure(f"token_provider took longer than {self._deadline_s:g} s", _FUNCTION_REMEDY)


_URL_REMEDY = "check the token service and this account's token_provider; the worker asks again by itself"
_HANGING_REMEDY = "give the function that this account's token_provider names a timeout, and restart the worker"
_FUNCTION_REMEDY = "check the function that this account's token_provider names; the worker asks again by itself"


def bearer_header(bearer: str) -> dict[str, str]:
    """Returns the header for a URL. Raises ConfigurationError if the bearer cannot stand in it."""
    if not bearer.isascii() or not bearer.isprintable():
        raise ConfigurationError("token_provider.bearer names a place whose value no header can hold; correct it")
    return {"Authorization": f"Bearer {bearer}"}


def read_reply(reply: Reply) -> TokenGranted | ProviderFailure:
    """Reads the token from the answer of a URL."""
    if reply.status != 200:
        return ProviderFailure(f"the token service answered http {reply.status}", _URL_REMEDY)
    try:
        answer = json_of(reply.body)
    except ValueError:
        return ProviderFailure("the token service answered no JSON", _URL_REMEDY)
    fields = (answer.get("access_token"), answer.get("expires_in")) if isinstance(answer, dict) else (None, None)
    return _validated(*fields) or ProviderFailure(
        "the token service returned no usable access_token and expires_in", _URL_REMEDY
    )


def load(name: str) -> Function:
    """Loads the function that `token_provider` names. Raises ConfigurationError if it cannot be loaded."""
    return function_named("token_provider", name, "account", "*", "fresh")


def _call_function(account: str, name: str, *, fresh: bool) -> TokenGranted | ProviderFailure:
    try:
        function = load(name)
    except ConfigurationError as error:
        return ProviderFailure(str(error), _FUNCTION_REMEDY)
    except BaseException as error:  # noqa: BLE001  as below
        return ProviderFailure(f"token_provider cannot be imported: {type(error).__name__}", _FUNCTION_REMEDY)
    try:
        answer = function(account, fresh=fresh)
        value, life_s = answer
    except BaseException as error:  # noqa: BLE001  whatever the application raises, in a thread that ends here
        # Neither its text nor its traceback: both may hold a secret.
        return ProviderFailure(f"token_provider raised {type(error).__name__}", _FUNCTION_REMEDY)
    return _validated(value, life_s) or ProviderFailure(
        "token_provider returned no token with its seconds", _FUNCTION_REMEDY
    )


def _validated(value: Any, life_s: Any) -> TokenGranted | None:
    """Returns a token that can be stored and sent, with its lifetime, or None if the values are not valid."""
    if isinstance(life_s, str) and life_s.isascii() and life_s.isdecimal() and len(life_s) < 10:
        life_s = int(life_s)
    if isinstance(life_s, bool) or not isinstance(life_s, int | float) or not 1 <= life_s < math.inf:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TOKEN or not value.isascii() or not value.isprintable():
        return None
    return TokenGranted(value, int(min(life_s, MAX_LIFE_S)))
