"""Youdu (有度即时通): the channel and its typed messages."""

from worker.channels.typed import Raw, Upload
from worker.channels.youdu.messages import (
    Badge,
    ExLink,
    ExLinkItem,
    FileMessage,
    Image,
    Link,
    Mail,
    MpNews,
    MpNewsItem,
    PopWindow,
    Sms,
    SysItem,
    SysLink,
    SysMsg,
    SysText,
    Text,
)
from worker.channels.youdu.vendor_json import message_from_json, message_schema, message_to_json, recipients_from_json

__all__ = [
    "Badge",
    "ExLink",
    "ExLinkItem",
    "FileMessage",
    "Image",
    "Link",
    "Mail",
    "MpNews",
    "MpNewsItem",
    "PopWindow",
    "Raw",
    "Sms",
    "SysItem",
    "SysLink",
    "SysMsg",
    "SysText",
    "Text",
    "Upload",
    "message_from_json",
    "message_schema",
    "message_to_json",
    "recipients_from_json",
]
