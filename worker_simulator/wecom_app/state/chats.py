"""Group chats that apps make (应用发送消息到群聊会话).

Userids of members are compared without case and stored in lower case.
"""

import secrets
from dataclasses import dataclass, field

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.settings import SimulatorSettings
from worker_simulator.wecom_app.state.apps import App


@dataclass(slots=True, eq=False)
class Chat:
    """A group chat. `members` are in the order in which they were added."""

    chatid: str
    app: App
    name: str
    owner: str
    members: list[str]
    altered: list[Json] = field(default_factory=list)
    dissolved: bool = False

    def info(self) -> Json:
        """Returns the chat as appchat/get does (98914)."""
        return {
            "chatid": self.chatid,
            "name": self.name,
            "owner": self.owner,
            "userlist": self.members,
            "chat_type": 0,
        }

    def to_json(self) -> Json:
        """Returns the chat for the control API."""
        agentid = self.app.settings.agentid
        about = {"corpid": self.app.corpid, "agentid": agentid, "dissolved": self.dissolved, "altered": self.altered}
        return {**self.info(), **about}


class ChatStore:
    """All group chats, by corp and chatid."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._chats: dict[tuple[str, str], Chat] = {}

    def new_chatid(self) -> str:
        """Returns a new chatid."""
        return f"wrkSFf{secrets.token_hex(13)}"

    def refuse_existing(self, corpid: str, chatid: str) -> None:
        """Refuses a chatid that the corp has (86215). Case matters."""
        if (corpid, chatid) in self._chats:
            raise Refused(86215)

    def add(self, chat: Chat) -> None:
        """Stores a new chat."""
        self._chats[chat.app.corpid, chat.chatid] = chat

    def of(self, app: App, chatid: str) -> Chat:
        """Returns a chat that the app may use.

        Refuses one that is unknown, another app's (86008) or dissolved (49008).
        """
        chat = self._chats.get((app.corpid, chatid))
        if chat is None:
            raise Refused(self._settings.chat.unknown_code)
        if chat.app is not app:
            raise Refused(86008)
        if chat.dissolved:
            raise Refused(49008)
        return chat

    def find(self, corpid: str, chatid: str) -> Chat | None:
        """Returns a chat, or None."""
        return self._chats.get((corpid, chatid))

    def dissolve(self, chatid: str) -> int:
        """Dissolves a chat, as its owner can. Returns how many there were."""
        chosen = [chat for chat in self._chats.values() if chat.chatid == chatid]
        for chat in chosen:
            chat.dissolved = True
        return len(chosen)

    def to_json(self) -> list[Json]:
        """Returns every chat for the control API, oldest first."""
        return [chat.to_json() for chat in self._chats.values()]
