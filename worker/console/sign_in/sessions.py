"""Sessions: a random token in a browser's cookie, and the row of its hash; and the link that signs a first user in.

A token is made when a person signs in, never before, and what a browser brought along is never taken for one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Literal, cast

from worker.config.console import ConsoleSettings
from worker.outbox.control import people as rows
from worker.outbox.engine.clock import SECOND
from worker.outbox.engine.database import Database

SEEN_EVERY_US = 60 * SECOND
Way = Literal["password", "oidc", "link", "proxy"]
"""How a person signed in; `proxy` has no session, since each request names its user."""


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person who signed in, and how."""

    person: str
    way: Way
    proof: str | None = None
    """The hash of what is stored of their password; None: they came another way."""


class Sessions:
    """The sessions of all processes."""

    def __init__(self, database: Database, settings: ConsoleSettings, new_token: Callable[[], str]):
        self._database, self._settings, self._new_token = database, settings, new_token

    def open(self, signed: SignedIn) -> str:
        """Opens a session; returns its new token."""
        token, database, lives_s = self._new_token(), self._database, self._settings.session_s
        row = {"id": hashed(token), **asdict(signed)}
        database.run(lambda connection: rows.open_session(connection, database.now, row, lives_s))
        return token

    def of(self, token: str, *, is_used: bool = True) -> SignedIn | None:
        """The person who signed in with this token; None where no session has it, or its time is over.

        `is_used`: whether that keeps the session; False for what a page asks by itself, without a person.
        """
        with self._database.reading() as connection:
            row, now = rows.session_of(connection, self._database.now, hashed(token), self._settings.idle_s)
        if row is None:
            return None
        if is_used and now - row.seen_at > SEEN_EVERY_US:
            self._database.run(lambda found: rows.touch_session(found, row.id, now))
        return SignedIn(row.person, cast(Way, row.way), row.proof)

    def end(self, token: str) -> None:
        """Ends the session of this token, in every browser that has it."""
        self._database.run(lambda connection: rows.end_session(connection, hashed(token)))


def hashed(token: str) -> str:
    """What is stored of a token, or of a password's hash."""
    return sha256(token.encode()).hexdigest()


class SignInLink:
    """A link that signs its user in once: for a console on one's own machine, where no user is configured yet."""

    def __init__(self, person: str, new_token: Callable[[], str]):
        self.person, self.token = person, new_token()
        self._guard, self._is_used = threading.Lock(), False

    @property
    def path(self) -> str:
        """Where it leads, below the console's own path."""
        return f"/sign-in/link?token={self.token}"

    def take(self, token: str) -> bool:
        """Whether this is the link's token, for the first time."""
        with self._guard:
            if self._is_used or not compare_digest(token.encode(), self.token.encode()):
                return False
            self._is_used = True
            return True
