"""Youdu (有度即时通): the channel and its typed messages."""

from worker.channels.youdu.channel import Youdu
from worker.channels.youdu.messages.articles import ExLink, ExLinkItem, MpNews, MpNewsItem
from worker.channels.youdu.messages.basic import FileMessage, Image, Link, Mail, Sms, Text
from worker.channels.youdu.messages.message import Raw, Upload
from worker.channels.youdu.messages.reading import message_from_json, message_to_json, recipients_from_json
from worker.channels.youdu.messages.schema import message_schema
from worker.channels.youdu.messages.system import SysItem, SysLink, SysMsg, SysText
from worker.channels.youdu.messages.windows import Badge, PopWindow

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
    "Youdu",
    "message_from_json",
    "message_schema",
    "message_to_json",
    "recipients_from_json",
]
