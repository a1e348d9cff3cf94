"""Roads: the queues of doorbells. A worker process takes from all of them or from some."""

from __future__ import annotations

from enum import StrEnum


class Road(StrEnum):
    """The roads, in the order in which a worker empties them."""

    URGENT = "urgent"
    HOOKS = "hooks"
    NORMAL = "normal"
    FILES = "files"
    BULK = "bulk"


ALL_ROADS = frozenset(Road)
