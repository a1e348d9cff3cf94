"""WeCom group sends to customers and customer groups: the channel and its typed messages."""

from worker.channels.typed import Upload as Upload
from worker.channels.wecom_external.messages import *  # noqa: F403  its `__all__` is the list of them
