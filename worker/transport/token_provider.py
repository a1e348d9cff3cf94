"""Tokens out of a firm's own place: a URL with a bearer secret, or a function of the application.

    # firm/tokens.py, named by token_provider = "firm.tokens:token_of" in [accounts.NAME]
    def token_of(account: str, *, fresh: bool) -> tuple[str, int]:
        return vault.token(account, renew=fresh)  # the token, and for how many seconds it is still valid

Decides neither when to ask nor what is kept. No reason quotes what came back, nor the text of an exception.
"""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError as TooLate
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from worker.channels.base import TokenGranted
from worker.config.application import function_named
from worker.domain.account import Account, Egress, TokenProvider
from worker.domain.call import Reply, Request
from worker.domain.errors import ConfigurationError
from worker.transport.faults import REMEDIES
from worker.transport.http import NO_THREAD, Transport, call_once

AT_ONCE = 4
"""Asks of one place at a time and process: one that hangs holds no more threads than these, until it is given up."""
GIVEN_UP_S = 300.0
"""Seconds after which a function that has not returned is no longer waited for, and its place is free again."""
HANGING = 16
"""Threads in which one function may hang; with so many it is not called any more until one of them returns."""
LONGEST_S = 86_400
"""Seconds for which a token is used at most before the place is asked again."""
_LONGEST = 4096
"""Characters of the longest token."""

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Unprovided:
    """There is no token now, and why."""

    reason: str
    remedy: str
    busy: bool = False
    """The place is being asked for other accounts; nothing was asked for this one."""


class TokenProviders:
    """One process's way to such places. Thread-safe."""

    def __init__(self, transport: Transport, *, deadline_s: float, monotonic: Callable[[], float] = time.monotonic):
        self._transport, self._deadline_s, self._monotonic = transport, deadline_s, monotonic
        self._guard = threading.Lock()
        self._asking: dict[str, dict[object, float]] = {}
        """Place -> what it is being asked, and since when."""

    def ask(self, account: Account, provider: TokenProvider, *, fresh: bool) -> TokenGranted | Unprovided:
        """The account's token, within the deadline; `fresh`: the vendor refused the last one."""
        place = provider.place if provider.bearer is None else urlsplit(provider.place).netloc
        ask = self._enter(place)
        if isinstance(ask, Unprovided):
            return ask
        if provider.bearer is not None:
            try:
                return self._get(account, provider, provider.bearer.read(), fresh=fresh)
            finally:
                self._leave(place, ask)
        return self._call(account.name, place, ask, fresh=fresh)

    def _enter(self, place: str) -> object | Unprovided:
        now = self._monotonic()
        with self._guard:
            asks = self._asking.setdefault(place, {})
            if sum(now - began < GIVEN_UP_S for began in asks.values()) >= AT_ONCE:
                return Unprovided("the token service is being asked for other accounts", "", busy=True)
            if len(asks) >= HANGING:
                return Unprovided(f"token_provider hangs in {HANGING} threads", _OF_HANGING)
            ask = object()
            asks[ask] = now
            return ask

    def _leave(self, place: str, ask: object) -> None:
        with self._guard:
            del self._asking[place][ask]

    # -- a URL --------------------------------------------------------------------------------------------------------

    def _get(self, account: Account, provider: TokenProvider, bearer: str, *, fresh: bool) -> TokenGranted | Unprovided:
        request = url_request(provider.place, bearer, self._deadline_s, fresh=fresh)
        # Straight to it: the account's proxy is the way to the vendor, and this place is the firm's own.
        request = replace(request, egress=Egress(ca=account.egress.ca))
        result = call_once(self._transport, request)
        return read(result) if isinstance(result, Reply) else _away(result.reason)

    # -- a function ---------------------------------------------------------------------------------------------------

    def _call(self, account: str, place: str, ask: object, *, fresh: bool) -> TokenGranted | Unprovided:
        future: Future[TokenGranted | Unprovided] = Future()

        def work() -> None:
            # Its place is free when it has returned, not when its deadline is over: else those that hang add up.
            try:
                token = _called(account, place, fresh=fresh)
            finally:
                self._leave(place, ask)
            future.set_result(token)

        try:
            threading.Thread(target=work, name="token_provider", daemon=True).start()
        except RuntimeError:
            self._leave(place, ask)
            return Unprovided(NO_THREAD, REMEDIES[NO_THREAD])
        try:
            return future.result(self._deadline_s)
        except TooLate:
            return Unprovided(f"token_provider took longer than {self._deadline_s:g} s", _OF_FUNCTION)


_OF_URL = "check the token service and this account's token_provider; it is asked again by itself"
_OF_HANGING = "give the function that this account's token_provider names a timeout, and restart the worker"
_OF_FUNCTION = "check the function that this account's token_provider names; it is asked again by itself"


def url_request(url: str, bearer: str, deadline_s: float, *, fresh: bool) -> Request:
    """The call of a URL; a bearer that no header can hold is a ConfigurationError."""
    if not bearer.isascii() or not bearer.isprintable():
        raise ConfigurationError("token_provider.bearer names a place whose value no header can hold; correct it")
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True)) | ({"fresh": "1"} if fresh else {})
    return Request(
        "GET",
        f"{parts.scheme}://{parts.netloc}",
        parts.path or "/",
        query,
        deadline_s=deadline_s,
        authorization=f"Bearer {bearer}",
    )


def read(reply: Reply) -> TokenGranted | Unprovided:
    """The token in the answer of a URL."""
    if reply.status != 200:
        return Unprovided(f"the token service answered http {reply.status}", _OF_URL)
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        return Unprovided("the token service answered no JSON", _OF_URL)
    fields = (answer.get("access_token"), answer.get("expires_in")) if isinstance(answer, dict) else (None, None)
    return _granted(*fields) or Unprovided("the token service answered no usable access_token and expires_in", _OF_URL)


def load(place: str) -> Function:
    """The function that `token_provider` names; a ConfigurationError when it cannot be loaded."""
    return function_named("token_provider", place, "account", "*", "fresh")


def _called(account: str, place: str, *, fresh: bool) -> TokenGranted | Unprovided:
    try:
        function = load(place)
    except ConfigurationError as error:
        return Unprovided(str(error), _OF_FUNCTION)
    except BaseException as error:  # noqa: BLE001  as below
        return Unprovided(f"token_provider cannot be imported: {type(error).__name__}", _OF_FUNCTION)
    try:
        answer = function(account, fresh=fresh)
        value, life_s = answer
    except BaseException as error:  # noqa: BLE001  whatever the application raises, in a thread that ends here
        # Not its text, nor a place in it: both may hold a secret.
        return Unprovided(f"token_provider raised {type(error).__name__}", _OF_FUNCTION)
    return _granted(value, life_s) or Unprovided("token_provider returned no token with its seconds", _OF_FUNCTION)


def _granted(value: Any, life_s: Any) -> TokenGranted | None:
    """A token that can be stored and sent, with its life; None: it is none."""
    if isinstance(life_s, str) and life_s.isascii() and life_s.isdecimal() and len(life_s) < 10:
        life_s = int(life_s)
    if isinstance(life_s, bool) or not isinstance(life_s, int | float) or not 1 <= life_s < math.inf:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST or not value.isascii() or not value.isprintable():
        return None
    return TokenGranted(value, int(min(life_s, LONGEST_S)))


def _away(reason: str) -> Unprovided:
    return Unprovided(f"the token service does not answer: {reason}", _OF_URL)
