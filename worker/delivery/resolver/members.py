"""The members of departments, tags and @all, as the application's own resolver names them; remembered for a while.

    # shop/people.py, named by members_of = "shop.people:members_of" in worker.toml
    def members_of(account: str, parties: Sequence[str], tags: Sequence[str]) -> Iterable[str] | None:
        return directory.userids(parties, tags)

The resolver is called before the call to the vendor, outside any transaction, in a thread of its own. When it fails no
job is lost: the members are unknown, and the account's estimates count instead. Logs no recipient.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, TimeoutError as TooLate
from dataclasses import dataclass, field
from typing import Any

from worker.config.application import function_named, places_of
from worker.config.log import Logger
from worker.domain.content.recipient import EVERYONE

log = Logger()

Resolver = Callable[[str, Sequence[str], Sequence[str]], Iterable[str] | None]
"""Account, department ids, tag ids -> the userids of all of them together; None: unknown."""

RESTS_S = 30.0
"""Seconds for which a resolver that failed, or was too slow, is not called."""
AT_ONCE = 4
"""Calls of the resolver at a time: if it hangs, it holds no more threads of a process than these."""
IDS_KEPT = 200_000
"""Answers and userids remembered; when there are more, all are forgotten with the next answer."""
_LONGEST = 64
"""Characters of the longest userid."""

_Key = tuple[str, tuple[str, ...], tuple[str, ...]]


class _NoUserid(Exception):
    """The resolver's answer holds a value that cannot be a userid."""


@dataclass(frozen=True, slots=True)
class _Known:
    members: tuple[str, ...] | None = field(repr=False)
    until: float


class Members:
    """The resolver of one process and its answers; without a resolver no members are known. Thread-safe."""

    def __init__(
        self,
        resolver: Resolver | None,
        *,
        valid_s: float,
        deadline_s: float,
        monotonic: Callable[[], float],
    ):
        self._resolver, self._valid_s, self._deadline_s, self._monotonic = resolver, valid_s, deadline_s, monotonic
        self._guard = threading.Lock()
        self._known: dict[_Key, _Known] = {}
        self._kept = 0
        self._asking: dict[_Key, Future[tuple[str, ...] | None]] = {}
        self._rests_until = 0.0

    def of(self, account: str, spec: Mapping[str, Any]) -> tuple[str, ...] | None:
        """The members of a spec's departments and tags together.

        None where the spec has no departments or tags, or where their members are not known. Never raises, and waits no
        longer than the deadline.
        """
        key = _key(account, spec)
        if self._resolver is None or key is None:
            return None
        asking = self._look(self._resolver, key)
        if not isinstance(asking, Future):
            return asking
        try:
            return asking.result(self._deadline_s)
        except TooLate:
            self._rest(account, "too slow")
            return None

    def _look(self, resolver: Resolver, key: _Key) -> Future[tuple[str, ...] | None] | tuple[str, ...] | None:
        """The answer that is known, or the call of the resolver under way, which is begun if there is none.

        None: the members are unknown.
        """
        with self._guard:
            known, now = self._known.get(key), self._monotonic()
            if known is not None and now < known.until:
                return known.members
            # Parts of the same department share one call of the resolver.
            if key in self._asking:
                return self._asking[key]
            if now < self._rests_until or len(self._asking) >= AT_ONCE:
                return None
            asking = self._asking[key] = Future()
        try:
            threading.Thread(target=self._ask, args=(resolver, key, asking), name="members", daemon=True).start()
        except RuntimeError:
            self._rest(key[0], "no_thread")
            self._answer(key, asking, None)
        return asking

    def _ask(self, resolver: Resolver, key: _Key, asking: Future[tuple[str, ...] | None]) -> None:
        members = None
        try:
            members = _usable(resolver(*key))
            self._keep(key, members)
        except (Exception, SystemExit) as error:  # noqa: BLE001  whatever the application raises; it may not end us
            self._rest(key[0], places_of(error, below=__file__))
        finally:
            self._answer(key, asking, members)

    def _answer(self, key: _Key, asking: Future[tuple[str, ...] | None], members: tuple[str, ...] | None) -> None:
        """Gives those that wait for a call its answer; the next one may be made."""
        with self._guard:
            del self._asking[key]
        asking.set_result(members)

    def _keep(self, key: _Key, members: tuple[str, ...] | None) -> None:
        """Remembers an answer, for `valid_s` seconds."""
        # Also one that came too late for the part that waited: the next part finds it.
        with self._guard:
            if self._kept > IDS_KEPT:
                self._known, self._kept = {}, 0
            self._known[key] = _Known(members, self._monotonic() + self._valid_s)
            self._kept += 1 + len(members or ())
            self._rests_until = 0.0

    def _rest(self, account: str, why: str) -> None:
        with self._guard:
            self._rests_until = self._monotonic() + RESTS_S
        log.warning("members_unknown", account=account, error=why, seconds=RESTS_S)


def _key(account: str, spec: Mapping[str, Any]) -> _Key | None:
    """The arguments of the resolver; a broadcast is the department `@all`. None: no departments or tags."""
    parties = (EVERYONE,) if spec.get("everyone") else tuple(sorted(spec.get("parties", ())))
    tags = tuple(sorted(spec.get("tags", ())))
    return (account, parties, tags) if parties or tags else None


def _usable(answer: Iterable[str] | None) -> tuple[str, ...] | None:
    """The named members without repeats; None: unknown, also where the list is empty."""
    if answer is None:
        return None
    # A string is iterable as well: each of its letters would be taken for a userid.
    if isinstance(answer, str | bytes):
        raise _NoUserid
    unique = {_member(member).lower(): member for member in answer}
    # Empty means unknown: the recipients of a send must not be left out because a list is empty.
    return tuple(unique.values()) or None


def _member(member: Any) -> str:
    """The userid; raises `_NoUserid` where it cannot be one."""
    # The vendor takes userids as `a|b`: a value with `|`, or `@all`, would be another member, or all of them.
    if (
        not isinstance(member, str)
        or not 0 < len(member) <= _LONGEST
        or member.startswith("@")
        or not member.isprintable()
    ):
        raise _NoUserid
    if set(member) & {"|", " "}:
        raise _NoUserid
    return member


def load_resolver(name: str) -> Resolver | None:
    """The function that `members_of` names, `package.module:function`; None: the setting is empty.

    Raises ConfigurationError when the function cannot be loaded.
    """
    if not name:
        return None
    return function_named("members_of", name, "account", "departments", "tags")
