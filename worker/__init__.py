"""The names an application imports. Each is loaded on first use, so that `import worker` costs nothing.

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
    from worker.channels import wecom_external as external
    from worker.channels import wecom_webhook as webhook
    from worker.channels import youdu
    from worker.channels.wecom_app import (
        ActionItem,
        ActionMenu,
        Button,
        ButtonCard,
        ButtonSelection,
        CardAction,
        CardImage,
        CardUpdate,
        ChangeChat,
        Checkbox,
        CheckOption,
        CreateChat,
        EmphasisContent,
        FileMessage,
        HorizontalContent,
        Image,
        ImageTextArea,
        Jump,
        MainTitle,
        Markdown,
        MiniProgramNotice,
        MpNews,
        MpNewsArticle,
        MultipleCard,
        News,
        NewsArticle,
        NewsNoticeCard,
        NoticeItem,
        Option,
        PlainSource,
        QuoteArea,
        Raw,
        SelectItem,
        Source,
        SubmitButton,
        Text,
        TextCard,
        TextNoticeCard,
        Upload,
        VerticalContent,
        Video,
        Voice,
        VoteCard,
        escape_ids,
        message_from_json,
        message_schema,
        message_to_json,
        recipients_from_json,
    )
    from worker.config.accounts import AccountSource, FixedAccounts
    from worker.config.current import configure
    from worker.config.settings import Settings, load_settings
    from worker.domain.account import Account, Secret
    from worker.domain.callbacks.hook import CardPressed, JobDone
    from worker.domain.content.message import File, Message
    from worker.domain.content.recipient import (
        AppChat,
        Chats,
        CustomerGroups,
        Customers,
        Emails,
        Everyone,
        Recipients,
        To,
    )
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
    from worker.domain.state import JobState, PartState
    from worker.hooks.registry import on_card_action, on_job_done
    from worker.outbox.engine.database import sqlite_engine
    from worker.outbox.tables import include_object
    from worker.producer.enqueue import NewJob, enqueue, enqueue_many, upload
    from worker.producer.group_send import remind, track
    from worker.producer.insert import JobRef
    from worker.producer.recall import recall, recall_message
    from worker.producer.resend import replay, resend_failed
    from worker.producer.update_card import update_card, update_card_by_code
    from worker.reporting.campaign import Campaign, Stage, Task, campaign
    from worker.reporting.code_stock import CardCodes, codes_left
    from worker.reporting.recipient_status import Counts, Share, recipients
    from worker.reporting.report import (
        JobReport,
        failures,
        get_job,
        list_jobs,
        receipts,
        wait_for,
    )
    from worker.reporting.timeline import timeline

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
    "worker.config.accounts": ("AccountSource", "FixedAccounts"),
    "worker.config.current": ("configure",),
    "worker.config.settings": ("Settings", "load_settings"),
    "worker.producer.group_send": ("remind", "track"),
    "worker.producer.recall": ("recall", "recall_message"),
    "worker.producer.update_card": ("update_card", "update_card_by_code"),
    "worker.reporting.campaign": ("Campaign", "Stage", "Task", "campaign"),
    "worker.reporting.code_stock": ("CardCodes", "codes_left"),
    "worker.reporting.recipient_status": ("Counts", "Share", "recipients"),
    "worker.producer.enqueue": ("NewJob", "enqueue", "enqueue_many", "upload"),
    "worker.hooks.registry": ("on_card_action", "on_job_done"),
    "worker.producer.insert": ("JobRef",),
    "worker.producer.resend": ("replay", "resend_failed"),
    "worker.reporting.report": ("JobReport", "failures", "get_job", "list_jobs", "receipts", "wait_for"),
    "worker.reporting.timeline": ("timeline",),
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
    "worker.domain.callbacks.hook": ("CardPressed", "JobDone"),
    "worker.domain.job": ("Kind", "Priority"),
    "worker.domain.content.message": ("File", "Message"),
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
    "worker.domain.state": ("JobState", "PartState"),
    "worker.outbox.engine.database": ("sqlite_engine",),
    "worker.outbox.tables": ("include_object",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Account",
    "AccountSource",
    "ActionItem",
    "ActionMenu",
    "AppChat",
    "Button",
    "ButtonCard",
    "ButtonSelection",
    "Campaign",
    "CardAction",
    "CardCodes",
    "CardImage",
    "CardPressed",
    "CardUpdate",
    "ChangeChat",
    "Chats",
    "CheckFailed",
    "CheckOption",
    "Checkbox",
    "ConfigurationError",
    "Counts",
    "CreateChat",
    "CustomerGroups",
    "Customers",
    "DedupeConflict",
    "Emails",
    "EmphasisContent",
    "Everyone",
    "File",
    "FileMessage",
    "FixedAccounts",
    "HorizontalContent",
    "Image",
    "ImageTextArea",
    "JobDone",
    "JobNotFound",
    "JobRef",
    "JobReport",
    "JobState",
    "Jump",
    "Kind",
    "MainTitle",
    "Markdown",
    "Message",
    "MiniProgramNotice",
    "MpNews",
    "MpNewsArticle",
    "MultipleCard",
    "NewJob",
    "News",
    "NewsArticle",
    "NewsNoticeCard",
    "NotReplayable",
    "NoticeItem",
    "Option",
    "PartState",
    "PlainSource",
    "Priority",
    "Problem",
    "QuoteArea",
    "Raw",
    "Recipients",
    "RetryTransaction",
    "Secret",
    "SelectItem",
    "Settings",
    "Share",
    "Source",
    "Stage",
    "StillOpen",
    "SubmitButton",
    "Task",
    "Text",
    "TextCard",
    "TextNoticeCard",
    "To",
    "Upload",
    "VerticalContent",
    "Video",
    "Voice",
    "VoteCard",
    "WorkerError",
    "campaign",
    "codes_left",
    "configure",
    "enqueue",
    "enqueue_many",
    "escape_ids",
    "external",
    "failures",
    "get_job",
    "include_object",
    "list_jobs",
    "load_settings",
    "message_from_json",
    "message_schema",
    "message_to_json",
    "on_card_action",
    "on_job_done",
    "recall",
    "recall_message",
    "receipts",
    "recipients",
    "recipients_from_json",
    "remind",
    "replay",
    "resend_failed",
    "sqlite_engine",
    "timeline",
    "track",
    "update_card",
    "update_card_by_code",
    "upload",
    "wait_for",
    "webhook",
    "youdu",
]


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
