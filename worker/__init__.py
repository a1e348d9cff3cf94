"""The producer's door: everything an application imports. Loaded name by name, so that importing it costs nothing.

from worker import Text, To, enqueue

with Session(engine) as session:
    ...                                    # the application's own rows
    enqueue(session, "hr", Text(content="hello"), To(users=["zhangsan"]))
    session.commit()                       # now it will be sent; a rollback sends nothing
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.channels.wecom_app import ButtonCard, CardUpdate, Image, Raw, Text, Upload
    from worker.config.accounts import AccountSource, FixedAccounts
    from worker.config.current import configure
    from worker.config.settings import Settings, load_settings
    from worker.delivery.counting import Counts, Share
    from worker.delivery.enqueue import NewJob, enqueue, enqueue_many, upload
    from worker.delivery.insert import JobRef
    from worker.delivery.related import recall, recall_message, replay, resend_failed, update_card
    from worker.delivery.report import (
        JobReport,
        failures,
        get_job,
        list_jobs,
        receipts,
        timeline,
        wait_for,
    )
    from worker.domain.account import Account, Secret
    from worker.domain.errors import (
        CheckFailed,
        ConfigurationError,
        DedupeConflict,
        JobNotFound,
        NotReplayable,
        Problem,
        RetryTransaction,
        StillOpen,
        WorkerError,
    )
    from worker.domain.job import Kind, Priority
    from worker.domain.message import File, Message
    from worker.domain.recipient import Everyone, Recipients, To
    from worker.domain.state import JobState, PartState
    from worker.outbox.database import sqlite_engine
    from worker.outbox.tables import include_object

_HOMES = {
    "worker.channels.wecom_app": ("ButtonCard", "CardUpdate", "Image", "Raw", "Text", "Upload"),
    "worker.config.accounts": ("AccountSource", "FixedAccounts"),
    "worker.config.current": ("configure",),
    "worker.config.settings": ("Settings", "load_settings"),
    "worker.delivery.counting": ("Counts", "Share"),
    "worker.delivery.enqueue": ("NewJob", "enqueue", "enqueue_many", "upload"),
    "worker.delivery.insert": ("JobRef",),
    "worker.delivery.related": ("recall", "recall_message", "replay", "resend_failed", "update_card"),
    "worker.delivery.report": ("JobReport", "failures", "get_job", "list_jobs", "receipts", "timeline", "wait_for"),
    "worker.domain.account": ("Account", "Secret"),
    "worker.domain.errors": (
        "CheckFailed",
        "ConfigurationError",
        "DedupeConflict",
        "JobNotFound",
        "NotReplayable",
        "Problem",
        "RetryTransaction",
        "StillOpen",
        "WorkerError",
    ),
    "worker.domain.job": ("Kind", "Priority"),
    "worker.domain.message": ("File", "Message"),
    "worker.domain.recipient": ("Everyone", "Recipients", "To"),
    "worker.domain.state": ("JobState", "PartState"),
    "worker.outbox.database": ("sqlite_engine",),
    "worker.outbox.tables": ("include_object",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Account",
    "AccountSource",
    "ButtonCard",
    "CardUpdate",
    "CheckFailed",
    "ConfigurationError",
    "Counts",
    "DedupeConflict",
    "Everyone",
    "File",
    "FixedAccounts",
    "Image",
    "JobNotFound",
    "JobRef",
    "JobReport",
    "JobState",
    "Kind",
    "Message",
    "NewJob",
    "NotReplayable",
    "PartState",
    "Priority",
    "Problem",
    "Raw",
    "Recipients",
    "RetryTransaction",
    "Secret",
    "Settings",
    "Share",
    "StillOpen",
    "Text",
    "To",
    "Upload",
    "WorkerError",
    "configure",
    "enqueue",
    "enqueue_many",
    "failures",
    "get_job",
    "include_object",
    "list_jobs",
    "load_settings",
    "recall",
    "recall_message",
    "receipts",
    "replay",
    "resend_failed",
    "sqlite_engine",
    "timeline",
    "update_card",
    "upload",
    "wait_for",
]


def __getattr__(name: str) -> Any:
    """A name of the door, imported when it is first asked for."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'worker' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The door's names, loaded or not."""
    return sorted({*globals(), *__all__})
