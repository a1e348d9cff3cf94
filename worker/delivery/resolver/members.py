"""The members of departments, tags and @all, as the application's own resolver names them, cached for a while.

    # shop/people.py, named by members_of = "shop.people:members_of" in worker.toml
    def members_of(account: str, parties: Sequence[str], tags: Sequence[str]) -> Iterable[str] | None:
        return directory.userids(parties, tags)

The resolver is called before the call to the vendor, outside any transaction, in a thread of its own. If it fails, no
job is lost: the members are unknown, and the account's estimates count instead. No recipient is logged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, TimeoutError as TooLate
from dataclasses import dataclass, field
from typing import Any

from worker.config.application import function_named, traceback_summary
from worker.config.log import Logger
from worker.domain.content.recipient import EVERYONE

log = Logger()

Resolver = Callable[[str, Sequence[str], Sequence[str]], Iterable[str] | None]
"""Account, department ids, tag ids -> the userids of all of them together, or None if unknown."""

COOLDOWN_S = 30.0
"""Seconds for which a resolver is not called after it failed or was too slow."""
MAX_CALLS = 4
"""The largest number of calls of the resolver at a time. If it hangs, it blocks no more threads than these."""
MAX_CACHED_IDS = 200_000
"""The largest number of cached answers and userids together. Beyond it, the next answer empties the cache."""
_MAX_LENGTH = 64
"""The largest number of characters in a userid."""

_Key = tuple[str, tuple[str, ...], tuple[str, ...]]


class _NoUserid(Exception):
    """The resolver's answer holds a value that cannot be a userid."""


@dataclass(frozen=True, slots=True)
class _CachedAnswer:
    members: tuple[str, ...] | None = field(repr=False)
    until: float


class Members:
    """The resolver of one process and its cached answers. Without a resolver no members are known. Thread-safe."""

    def __init__(
        self,
        resolver: Resolver | None,
        *,
        valid_s: float,
        deadline_s: float,
        monotonic: Callable[[], float],
    ):
        self._resolver, self._valid_s, self._deadline_s, self._monotonic = resolver, valid_s, deadline_s, monotonic
        self._lock = threading.Lock()
        self._cache: dict[_Key, _CachedAnswer] = {}
        self._cached_ids = 0
        self._pending: dict[_Key, Future[tuple[str, ...] | None]] = {}
        self._paused_until = 0.0

    def of(self, account: str, spec: Mapping[str, Any]) -> tuple[str, ...] | None:
        """Returns the members of a spec's departments and tags together.

        Returns None if the spec has no departments or tags, or if their members are unknown. Never raises, and waits no
        longer than the deadline.
        """
        key = _key(account, spec)
        if self._resolver is None or key is None:
            return None
        pending = self._cached_or_pending(self._resolver, key)
        if not isinstance(pending, Future):
            return pending
        try:
            return pending.result(self._deadline_s)
        except TooLate:
            self._pause(account, "too slow")
            return None

    def _cached_or_pending(
        self, resolver: Resolver, key: _Key
    ) -> Future[tuple[str, ...] | None] | tuple[str, ...] | None:
        """Returns the cached answer, or else the call of the resolver under way, beginning one if needed.

        Returns None if the members are unknown.
        """
        with self._lock:
            cached, now = self._cache.get(key), self._monotonic()
            if cached is not None and now < cached.until:
                return cached.members
            # Parts of the same department share one call of the resolver.
            if key in self._pending:
                return self._pending[key]
            if now < self._paused_until or len(self._pending) >= MAX_CALLS:
                return None
            pending = self._pending[key] = Future()
        try:
            threading.Thread(
                target=self._call_resolver, args=(resolver, key, pending), name="members", daemon=True
            ).start()
        except RuntimeError:
            self._pause(key[0], "no_thread")
            self._finish(key, pending, None)
        return pending

    def _call_resolver(self, resolver: Resolver, key: _Key, pending: Future[tuple[str, ...] | None]) -> None:
        members = None
        try:
            members = _checked(resolver(*key))
            self._store(key, members)
        except BaseException as error:  # noqa: BLE001  whatever the application raises; it may not end us
            self._pause(key[0], traceback_summary(error, below=__file__))
        finally:
            self._finish(key, pending, members)

    def _finish(self, key: _Key, pending: Future[tuple[str, ...] | None], members: tuple[str, ...] | None) -> None:
        """Hands the answer to all that wait for this call, and allows the next call."""
        with self._lock:
            del self._pending[key]
        pending.set_result(members)

    def _store(self, key: _Key, members: tuple[str, ...] | None) -> None:
        """Caches an answer for `valid_s` seconds."""
        # Also an answer that came too late for the part that waited: the next part uses it.
        with self._lock:
            if self._cached_ids > MAX_CACHED_IDS:
                self._cache, self._cached_ids = {}, 0
            self._cache[key] = _CachedAnswer(members, self._monotonic() + self._valid_s)
            self._cached_ids += 1 + len(members or ())
            self._paused_until = 0.0

    def _pause(self, account: str, error: str) -> None:
        with self._lock:
            self._paused_until = self._monotonic() + COOLDOWN_S
        log.warning("members_unknown", account=account, error=error, seconds=COOLDOWN_S)


def _key(account: str, spec: Mapping[str, Any]) -> _Key | None:
    """Returns the arguments of the resolver, or None without departments or tags. A broadcast is department `@all`."""
    parties = (EVERYONE,) if spec.get("everyone") else tuple(sorted(spec.get("parties", ())))
    tags = tuple(sorted(spec.get("tags", ())))
    return (account, parties, tags) if parties or tags else None


def _checked(answer: Iterable[str] | None) -> tuple[str, ...] | None:
    """Returns the named members without repeats, or None if they are unknown or the list is empty."""
    if answer is None:
        return None
    # A string is iterable as well: each of its letters would count as a userid.
    if isinstance(answer, str | bytes):
        raise _NoUserid
    unique = {_member(member).lower(): member for member in answer}
    # Empty means unknown: the recipients of a send must not be left out because a list is empty.
    return tuple(unique.values()) or None


def _member(member: Any) -> str:
    """Returns the value if it can be a userid, else raises `_NoUserid`."""
    # The vendor takes userids as `a|b`: a value with `|`, or `@all`, would be another member, or all of them.
    if (
        not isinstance(member, str)
        or not 0 < len(member) <= _MAX_LENGTH
        or member.startswith("@")
        or not member.isprintable()
    ):
        raise _NoUserid
    if set(member) & {"|", " "}:
        raise _NoUserid
    return member


def load_resolver(name: str) -> Resolver | None:
    """Returns the function that `members_of` names, `package.module:function`, or None if the setting is empty.

    Raises ConfigurationError if the function cannot be loaded.
    """
    if not name:
        return None
    return function_named("members_of", name, "account", "departments", "tags")
