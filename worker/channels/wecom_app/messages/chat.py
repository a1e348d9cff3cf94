"""The messages that make and change app group chats (应用发送消息到群聊会话, pages 90245 and 98913).

Only self-built apps whose visible range is the root department may (48002, 60011), and only the app that made a chat
can use it (86008). To send into one, enqueue any message but cards and mini program notices to
`AppChat(chatid)`.
"""

from __future__ import annotations

from typing import Any

from worker.channels.typed import VendorMessage


class CreateChat(VendorMessage):
    """The message of a create_chat job (page 90245 创建群聊会话). A corp may make 1000 a day."""

    name: str | None = None
    """At most 50 characters. Longer: cut."""
    owner: str | None = None
    """Userid; none: the vendor picks a member (86005)."""
    userlist: list[str]
    """Required: 2 to 2000 userids (86006, 86007)."""
    chatid: str | None = None
    """1 to 32 of `0-9A-Za-z`, unique (86001, 86215). Left out, it is the job's id. Either way a repeat is safe: 86215
    then means "made before"."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        return {"type": "chat_create", "body": self.model_dump(mode="json", exclude_none=True)}


class ChangeChat(VendorMessage):
    """The message of a change_chat job (page 98913 修改群聊会话). A corp may make 1000 changes an hour."""

    chatid: str
    """Required: the chat (40050, 86001, 86003)."""
    name: str | None = None
    """At most 50 characters. Longer: cut."""
    owner: str | None = None
    """Userid of the new owner; required when the owner is taken out (86005)."""
    add_user_list: list[str] | None = None
    """Userids to add (86216)."""
    del_user_list: list[str] | None = None
    """Userids to take out (86216)."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        return {"type": "chat_change", "body": self.model_dump(mode="json", exclude_none=True)}
