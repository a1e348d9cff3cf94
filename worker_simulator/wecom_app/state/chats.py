"""Group chats that apps make (应用发送消息到群聊会话): their members, their owner and the app they belong to.

Does not know messages and limits. Members are compared without regard to case and kept in lower case.
"""

import secrets
from dataclasses import dataclass, field

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.settings import SimulatorSettings
from worker_simulator.wecom_app.state.apps import App


@dataclass(slots=True, eq=False)
class Chat:
    """One group chat; `members` in the order in which they were added."""

    chatid: str
    app: App
    name: str
    owner: str
    members: list[str]
    altered: list[Json] = field(default_factory=list)
    dissolved: bool = False

    def info(self) -> Json:
        """What appchat/get says (98914)."""
        return {
            "chatid": self.chatid,
            "name": self.name,
            "owner": self.owner,
            "userlist": self.members,
            "chat_type": 0,
        }

    def shown(self) -> Json:
        """What control shows."""
        agentid = self.app.settings.agentid
        about = {"corpid": self.app.corpid, "agentid": agentid, "dissolved": self.dissolved, "altered": self.altered}
        return {**self.info(), **about}


class ChatBook:
    """All group chats, by corp and chatid."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._chats: dict[tuple[str, str], Chat] = {}

    def new_chatid(self) -> str:
        """A chatid of the vendor's own."""
        return f"wrkSFf{secrets.token_hex(13)}"

    def refuse_taken(self, corpid: str, chatid: str) -> None:
        """Refuse a chatid the corp has (86215); compared exactly."""
        if (corpid, chatid) in self._chats:
            raise Refused(86215)

    def keep(self, chat: Chat) -> None:
        """Remember a new chat."""
        self._chats[chat.app.corpid, chat.chatid] = chat

    def of(self, app: App, chatid: str) -> Chat:
        """A chat the app may use, or the refusal: unknown, another app's (86008), dissolved (49008)."""
        chat = self._chats.get((app.corpid, chatid))
        if chat is None:
            raise Refused(self._settings.chat.unknown_code)
        if chat.app is not app:
            raise Refused(86008)
        if chat.dissolved:
            raise Refused(49008)
        return chat

    def find(self, corpid: str, chatid: str) -> Chat | None:
        """A chat, for pages; None where there is none."""
        return self._chats.get((corpid, chatid))

    def dissolve(self, chatid: str) -> int:
        """Let a chat be dissolved, as its owner can; how many were."""
        chosen = [chat for chat in self._chats.values() if chat.chatid == chatid]
        for chat in chosen:
            chat.dissolved = True
        return len(chosen)

    def shown(self) -> list[Json]:
        """Every chat, oldest first."""
        return [chat.shown() for chat in self._chats.values()]
