"""A link that signs its first user in: for a console on one's own machine, where no user is configured yet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from hmac import compare_digest


class SignInLink:
    """The link of one process."""

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
