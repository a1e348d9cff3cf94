"""Youdu (有度即时通): the channel and its typed messages."""

from worker.channels.typed import Raw as Raw, Upload as Upload
from worker.channels.youdu.messages import *  # noqa: F403  its `__all__` is the list of them
from worker.channels.youdu.vendor_json import (
    message_from_json as message_from_json,
    message_to_json as message_to_json,
    recipients_from_json as recipients_from_json,
)
