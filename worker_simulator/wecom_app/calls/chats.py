"""appchat/create, update and get (90245 创建群聊会话, 98913 修改群聊会话, 98914 获取群聊会话).

Does not know HTTP and messages.
"""

import re
from typing import TYPE_CHECKING

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import Json
from worker_simulator.wecom_app.calls import chat_members
from worker_simulator.wecom_app.rules.findings import Findings, typed, warned
from worker_simulator.wecom_app.rules.texts import CUT, TextRule
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_app.state.chats import Chat

if TYPE_CHECKING:
    from worker_simulator.world import World

CHATID = re.compile(r"[0-9A-Za-z]+")
LONGEST_CHATID = 32
NAME = TextRule("name", limit=50, over=CUT, unit="chars")


def create(world: "World", app: App, body: Json, seq: int) -> HttpAnswer:
    """Make a chat; without an owner its first member is the owner (the vendor picks one at random)."""
    refuse_without_scope(world, app)
    found = Findings(world.settings.codes)
    with warned(found):
        chat = _made(world, app, body, found)
    world.limits.count_chat_made(app.corpid, seq)
    world.chats.keep(chat)
    return accepted(errmsg=found.errmsg, chatid=chat.chatid)


def _made(world: "World", app: App, body: Json, found: Findings) -> Chat:
    chatid = _own_chatid(body, found)
    world.chats.refuse_taken(app.corpid, chatid or "")
    NAME.check(body, "chat", found)
    userlist = chat_members.named(body, "userlist", found)
    if not userlist:
        raise Refused(86204)
    members = chat_members.existing(userlist, world.directory, world.settings.chat)
    _refuse_number(members, 86006)
    owner = chat_members.owner_among(body, members, found) or members[0]
    return Chat(chatid or world.chats.new_chatid(), app, body.get("name") or "", owner, members, found.altered)


def update(world: "World", app: App, body: Json, seq: int) -> HttpAnswer:
    """Change name, owner or members; an owner who goes has to name the next one (86203)."""
    refuse_without_scope(world, app)
    found = Findings(world.settings.codes)
    with warned(found):
        chat = world.chats.of(app, chatid_of(body, found))
        owner, members = _changed(world, chat, body, found)
    world.limits.count_chat_change(app.corpid, seq)
    chat.name = body.get("name") or chat.name
    chat.owner, chat.members = owner, members
    chat.altered = found.altered
    return accepted(errmsg=found.errmsg)


def _changed(world: "World", chat: Chat, body: Json, found: Findings) -> tuple[str, list[str]]:
    """The owner and the members a change leaves."""
    rules = world.settings.chat
    NAME.check(body, "chat", found)
    joining = chat_members.existing(chat_members.named(body, "add_user_list", found), world.directory, rules)
    leaving = chat_members.named(body, "del_user_list", found)
    members = chat_members.without(list(dict.fromkeys([*chat.members, *joining])), leaving, rules)
    _refuse_number(members, rules.too_few_code)
    owner = chat_members.owner_among(body, members, found)
    if owner is None and chat.owner not in members:
        raise Refused(86203)
    return owner or chat.owner, members


def get(world: "World", app: App, chatid: str) -> HttpAnswer:
    """Answer with what is known of a chat."""
    refuse_without_scope(world, app)
    if not chatid:
        raise Refused(86201)
    return accepted(chat_info=world.chats.of(app, chatid).info())


def refuse_without_scope(world: "World", app: App) -> None:
    """Only apps whose visible range is the root department have chats."""
    code = world.settings.chat.no_scope_code
    if code and not app.settings.root_scope:
        raise Refused(code)


def chatid_of(body: Json, found: Findings) -> str:
    """The chat a call names (86201 when it names none)."""
    chatid = typed(body, "chatid", str, found)
    if not chatid:
        raise Refused(86201)
    return str(chatid)


def _own_chatid(body: Json, found: Findings) -> str | None:
    """The chatid the caller wants: up to 32 of `0-9A-Za-z` (86001, 86205)."""
    chatid = typed(body, "chatid", str, found)
    if not chatid:
        return None
    if len(chatid) > LONGEST_CHATID:
        raise Refused(86205)
    if not CHATID.fullmatch(chatid):
        raise Refused(86001)
    return str(chatid)


def _refuse_number(members: list[str], too_few: int) -> None:
    if len(members) > chat_members.MOST:
        raise Refused(86006)
    if len(members) < chat_members.FEWEST and too_few:
        raise Refused(too_few)
