"""An application's function that gives tokens to worker processes of tests; its one error has a secret in its text."""

from __future__ import annotations

CENTRAL = "canary-central-token"
_asked: list[str] = []


def told(account: str, *, fresh: bool) -> tuple[str, int]:
    """The firm's token."""
    _asked.append(account)
    if len(_asked) == 1:
        raise RuntimeError(CENTRAL)
    return CENTRAL, 7200
