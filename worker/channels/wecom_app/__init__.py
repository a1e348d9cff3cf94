"""WeCom application messages: the channel and its typed messages."""

from worker.channels.typed import Upload as Upload
from worker.channels.wecom.cards import *  # noqa: F403  its `__all__` is the list of them
from worker.channels.wecom_app.bodies import (
    message_from_json as message_from_json,
    message_to_json as message_to_json,
    recipients_from_json as recipients_from_json,
)
from worker.channels.wecom_app.cards import *  # noqa: F403
from worker.channels.wecom_app.changes import (
    CardUpdate as CardUpdate,
    ChangeChat as ChangeChat,
    CreateChat as CreateChat,
)
from worker.channels.wecom_app.messages import *  # noqa: F403
