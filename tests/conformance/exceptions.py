"""What a channel leaves out of the suite, and the vendor's reason for it; docs/conformance.md is made of it."""

from __future__ import annotations

from typing import NamedTuple


class LeftOut(NamedTuple):
    """One test that cannot be asked of a channel."""

    channel: str
    test: str
    reason: str


EXCEPTIONS: tuple[LeftOut, ...] = ()
