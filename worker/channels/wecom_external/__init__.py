"""WeCom group sends to customers and customer groups: the channel and its typed messages."""

from worker.channels.typed import Upload
from worker.channels.wecom_external.messages import (
    Attachment,
    Campaign,
    File,
    Image,
    Link,
    MiniProgram,
    Raw,
    TagFilter,
    TagGroup,
    Video,
)
from worker.channels.wecom_external.vendor_json import (
    message_from_json,
    message_schema,
    message_to_json,
    recipients_from_json,
)

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
    "message_from_json",
    "message_schema",
    "message_to_json",
    "recipients_from_json",
]
