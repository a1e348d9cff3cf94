"""Checks passwords against argon2id hashes. An unknown name takes as long as a known one.

If the hashes have several cost parameters (of another release or tool), the time would reveal which names exist. So
each check computes one hash for every cost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from worker.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_LENGTH, MAX_LENGTH = 12, 512
"""In characters, of a new password."""
Verify = Callable[[str, str], bool]
"""Takes a hash and a password, and returns whether they match."""


class Passwords:
    """The passwords of the users in the settings."""

    def __init__(self, hashes: Mapping[str, str], verify: Verify | None = None):
        self._hashes, self._verify = hashes, verify or _argon2()
        self._by_cost = {_cost(password_hash): password_hash for password_hash in hashes.values()}

    def is_right(self, name: str, password: str) -> bool:
        """Returns whether this is the password of the user with this name."""
        user_hash = self._hashes.get(name)
        candidates = self._by_cost if user_hash is None else {**self._by_cost, _cost(user_hash): user_hash}
        matching = [
            password_hash for password_hash in candidates.values() if self._verify(password_hash, password[:MAX_LENGTH])
        ]
        return user_hash in matching and len(password) <= MAX_LENGTH


def _cost(password_hash: str) -> str:
    """Returns the part of a hash that decides how long it takes: `$argon2id$v=19$m=65536,t=3,p=4`."""
    return password_hash.rsplit("$", 2)[0]


def hash_password(password: str) -> str:
    """Hashes a new password for the settings; raises ConfigurationError if it is too short or too long."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise ConfigurationError(
            f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters; this one has {len(password)}"
        )
    return _hasher().hash(password)


def _argon2() -> Verify:
    from argon2.exceptions import VerificationError

    hasher = _hasher()

    def verify(password_hash: str, password: str) -> bool:
        try:
            return hasher.verify(password_hash, password)
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
    """Returns the error for a way to sign in whose library is not installed."""
    return ConfigurationError(
        f"console: {what} need a library; run `pip install 'PATH[console]'`, with the PATH of the wheel or checkout"
    )
