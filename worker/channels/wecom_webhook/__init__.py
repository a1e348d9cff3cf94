"""WeCom webhooks (群机器人, 消息推送): the channel and its typed messages."""

from worker.channels.typed import Raw as Raw, Upload as Upload
from worker.channels.wecom_webhook.messages import *  # noqa: F403  its `__all__` is the list of them
