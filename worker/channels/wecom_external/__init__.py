"""WeCom group sends to customers and customer groups: the channel and its typed messages."""

from worker.channels.typed import Upload as Upload
from worker.channels.wecom_external.messages import *  # noqa: F403  its `__all__` is the list of them
from worker.channels.wecom_external.vendor_json import (
    message_from_json as message_from_json,
    message_to_json as message_to_json,
    recipients_from_json as recipients_from_json,
)
