"""The names of the queues of doorbells. A worker process takes from all queues or from some."""

from __future__ import annotations

from enum import StrEnum


class QueueName(StrEnum):
    """The queues, in the order in which a worker empties them."""

    URGENT = "urgent"
    HOOKS = "hooks"
    NORMAL = "normal"
    FILES = "files"
    BULK = "bulk"


ALL_QUEUES = frozenset(QueueName)
