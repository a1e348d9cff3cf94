"""The names an application imports. Each is loaded on first use, so that `import worker` costs nothing.

from worker import Text, To, enqueue

with Session(engine) as session:
    ...                                    # the application's own rows
    enqueue(session, "hr", Text(content="hello"), To(users=["zhangsan"]))
    session.commit()                       # now it will be sent; a rollback sends nothing
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "worker.channels.wecom_app": (
        "ActionItem",
        "ActionMenu",
        "Button",
        "ButtonCard",
        "ButtonSelection",
        "CardAction",
        "CardImage",
        "CardUpdate",
        "ChangeChat",
        "CheckOption",
        "Checkbox",
        "CreateChat",
        "EmphasisContent",
        "FileMessage",
        "HorizontalContent",
        "Image",
        "ImageTextArea",
        "Jump",
        "MainTitle",
        "Markdown",
        "MiniProgramNotice",
        "MpNews",
        "MpNewsArticle",
        "MultipleCard",
        "News",
        "NewsArticle",
        "NewsNoticeCard",
        "NoticeItem",
        "Option",
        "PlainSource",
        "QuoteArea",
        "Raw",
        "SelectItem",
        "Source",
        "SubmitButton",
        "Text",
        "TextCard",
        "TextNoticeCard",
        "Upload",
        "VerticalContent",
        "Video",
        "Voice",
        "VoteCard",
        "escape_ids",
        "message_from_json",
        "message_schema",
        "message_to_json",
        "recipients_from_json",
    ),
    "worker.config.accounts": (
        "AccountSource",
        "FixedAccounts",
        "configure",
    ),
    "worker.config.settings": (
        "Settings",
        "load_settings",
    ),
    "worker.domain.account": (
        "Account",
        "Secret",
    ),
    "worker.domain.callbacks.hook": (
        "CardPressed",
        "JobDone",
    ),
    "worker.domain.content.message": (
        "File",
        "Message",
    ),
    "worker.domain.content.recipient": (
        "AppChat",
        "Chats",
        "CustomerGroups",
        "Customers",
        "Emails",
        "Everyone",
        "Recipients",
        "To",
    ),
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
    "worker.domain.job": (
        "Kind",
        "Priority",
    ),
    "worker.domain.state": (
        "JobState",
        "PartState",
    ),
    "worker.hooks.registry": (
        "on_card_action",
        "on_job_done",
    ),
    "worker.outbox.engine.database": ("sqlite_engine",),
    "worker.outbox.tables": ("include_object",),
    "worker.producer.enqueue": (
        "NewJob",
        "enqueue",
        "enqueue_many",
        "upload",
    ),
    "worker.producer.group_send": (
        "remind",
        "track",
    ),
    "worker.producer.insert": ("JobRef",),
    "worker.producer.options": ("JobOptions",),
    "worker.producer.recall": (
        "recall",
        "recall_message",
    ),
    "worker.producer.resend": (
        "replay",
        "resend_failed",
    ),
    "worker.producer.update_card": (
        "update_card",
        "update_card_by_code",
    ),
    "worker.reporting.campaign": (
        "CampaignReport",
        "Stage",
        "Task",
        "campaign",
    ),
    "worker.reporting.code_stock": (
        "CardCodes",
        "codes_left",
    ),
    "worker.reporting.recipient_status": (
        "Counts",
        "RecipientStatus",
        "recipients",
    ),
    "worker.reporting.report": (
        "AttemptReport",
        "Failure",
        "JobReport",
        "JobSummary",
        "PartReport",
        "Receipt",
        "failures",
        "get_job",
        "list_jobs",
        "receipts",
        "wait_for",
    ),
    "worker.reporting.timeline": (
        "Event",
        "timeline",
    ),
}
_DOORS = ("external", "webhook", "wecom_app", "youdu")
"""The channels, each as the package with its messages, such as `webhook.Text`; those of `wecom_app` stand here, too."""
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted({*_HOME_OF, *_DOORS})


def __getattr__(name: str) -> Any:
    """One of the names in `__all__`, imported on first use."""
    home = _HOME_OF.get(name)
    value = _channel_door(name) if home is None else getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def _channel_door(name: str) -> Any:
    """The package of a channel whose messages are reached through it, such as `webhook.Text`."""
    from worker.config.channels import REGISTRY

    for entry in REGISTRY.values():
        if entry.door == name:
            return importlib.import_module(entry.home.partition(":")[0])
    raise AttributeError(f"module 'worker' has no attribute {name!r}")


def __dir__() -> list[str]:
    """All names of this module, loaded or not."""
    return sorted({*globals(), *__all__})
