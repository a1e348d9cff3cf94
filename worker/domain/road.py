"""The roads by which doorbells travel: a queue each, which a process may take from or leave to others."""

from __future__ import annotations

from enum import StrEnum


class Road(StrEnum):
    """In the order in which a worker empties them."""

    URGENT = "urgent"
    HOOKS = "hooks"
    NORMAL = "normal"
    FILES = "files"
    BULK = "bulk"


ALL_ROADS = frozenset(Road)
