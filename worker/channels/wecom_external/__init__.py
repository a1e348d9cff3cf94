"""WeCom group sends to customers and customer groups: the channel and its typed messages."""

from worker.channels.wecom import errcodes
from worker.channels.wecom.message import Upload
from worker.channels.wecom_external.channel import WecomExternal
from worker.channels.wecom_external.messages.attachments import Attachment, File, Image, Link, MiniProgram, Video
from worker.channels.wecom_external.messages.message import Campaign, Raw, TagFilter, TagGroup
from worker.channels.wecom_external.messages.reading import message_from_json, message_to_json, recipients_from_json
from worker.channels.wecom_external.messages.schema import message_schema

__all__ = [
    "Attachment",
    "Campaign",
    "File",
    "Image",
    "Link",
    "MiniProgram",
    "Raw",
    "TagFilter",
    "TagGroup",
    "Upload",
    "Video",
    "WecomExternal",
    "errcodes",
    "message_from_json",
    "message_schema",
    "message_to_json",
    "recipients_from_json",
]
