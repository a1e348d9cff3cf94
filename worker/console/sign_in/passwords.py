"""Passwords against their argon2id hashes. A name that there is not costs the same work as one that there is.

Hashes of several costs (another release's, another tool's) would tell names by time, so a try pays for each cost once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from worker.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LEAST, MOST = 12, 512
"""Characters of a new password."""
Verify = Callable[[str, str], bool]
"""Whether a password, the second text, is that of a hash."""


class Passwords:
    """The passwords of the users in the settings."""

    def __init__(self, hashes: Mapping[str, str], verify: Verify | None = None):
        self._hashes, self._verify = hashes, verify or _argon2()
        self._by_cost = {_cost(hashed): hashed for hashed in hashes.values()}

    def is_right(self, name: str, password: str) -> bool:
        """Whether this is the password of this name."""
        own = self._hashes.get(name)
        compared = self._by_cost if own is None else {**self._by_cost, _cost(own): own}
        matching = [hashed for hashed in compared.values() if self._verify(hashed, password[:MOST])]
        return own in matching and len(password) <= MOST


def _cost(hashed: str) -> str:
    """Returns the part of a hash that decides how long it takes: `$argon2id$v=19$m=65536,t=3,p=4`."""
    return hashed.rsplit("$", 2)[0]


def hash_password(password: str) -> str:
    """The hash of a new password, for the settings; ConfigurationError for one that is too short or too long."""
    if not LEAST <= len(password) <= MOST:
        raise ConfigurationError(f"a password has {LEAST} to {MOST} characters; this one has {len(password)}")
    return _hasher().hash(password)


def _argon2() -> Verify:
    from argon2.exceptions import VerificationError

    hasher = _hasher()

    def verify(hashed: str, password: str) -> bool:
        try:
            return hasher.verify(hashed, password)
        except VerificationError:
            return False

    return verify


def _hasher() -> PasswordHasher:
    try:
        from argon2 import PasswordHasher
    except ImportError:
        raise needs_extra("passwords") from None
    return PasswordHasher()


def needs_extra(what: str) -> ConfigurationError:
    """The error for a sign-in whose library is not installed."""
    return ConfigurationError(f"console: {what} need a library; run `pip install 'im-delivery-worker[console]'`")
