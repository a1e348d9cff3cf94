"""Sessions: a random token in a browser's cookie, and a row with its hash. Also the link that signs in a first user.

A session's token is made when a person signs in. A token that a browser had before never becomes one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Literal, cast

from sqlalchemy.exc import SQLAlchemyError

from worker.config.console import ConsoleSettings
from worker.outbox.control import audit_and_sign_in as rows
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database

TOUCH_EVERY_US = 60 * SECOND
Way = Literal["password", "oidc", "link", "proxy"]
"""How a person signed in; `proxy` has no session, since each request names its user."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person who signed in, and how."""

    person: str
    way: Way
    proof: str | None = None
    """A hash of the stored password hash; None if they signed in another way."""


class Sessions:
    """The sessions of all processes."""

    def __init__(self, database: Database, settings: ConsoleSettings, new_token: Callable[[], str]):
        self._database, self._settings, self._new_token = database, settings, new_token

    def open(self, signed: SignedIn) -> str:
        """Opens a session; returns its new token."""
        token, database, lifetime_s = self._new_token(), self._database, self._settings.session_s
        row = {"id": hash_token(token), **asdict(signed)}
        database.run(lambda connection: rows.open_session(connection, database.now, row, lifetime_s))
        return token

    def find(self, token: str, *, is_used: bool = True) -> SignedIn | None:
        """Returns who signed in with this token, or None if no session has it or the session has expired.

        `is_used`: whether this request prolongs the session; False if a page refreshes itself without a person.
        """
        with self._database.reading() as connection:
            row, now = rows.session_of(connection, self._database.now, hash_token(token), self._settings.idle_s)
        if row is None:
            return None
        if is_used and now - row.seen_at > TOUCH_EVERY_US:
            # A database that takes no writes, such as a standby, can still be looked at until the session is idle.
            with suppress(SQLAlchemyError):
                self._database.run(lambda connection: rows.touch_session(connection, row.id, now), tries=1)
        return SignedIn(row.person, cast(Way, row.way), row.proof)

    def end(self, token: str) -> None:
        """Ends the session of this token, in every browser that has it."""
        self._database.run(lambda connection: rows.end_session(connection, hash_token(token)))


def hash_token(token: str) -> str:
    """Returns the hash by which a token, or a password's hash, is stored."""
    return sha256(token.encode()).hexdigest()


class SignInLink:
    """A link that signs in its user once: for a console on one's own machine, without any configured user."""

    def __init__(self, person: str, new_token: Callable[[], str]):
        self.person, self.token = person, new_token()
        self._guard, self._is_used = threading.Lock(), False

    @property
    def path(self) -> str:
        """The link's path, below the console's own."""
        return f"/sign-in/link?token={self.token}"

    def take(self, token: str) -> bool:
        """Returns True if this is the link's token and it is used for the first time."""
        with self._guard:
            if self._is_used or not compare_digest(token.encode(), self.token.encode()):
                return False
            self._is_used = True
            return True
