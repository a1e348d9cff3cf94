"""Youdu (有度即时通): the channel and its typed messages."""

from worker.channels.typed import Raw as Raw, Upload as Upload
from worker.channels.youdu.messages import *  # noqa: F403  its `__all__` is the list of them
