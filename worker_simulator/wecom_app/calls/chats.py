"""appchat/create, update and get (90245 创建群聊会话, 98913 修改群聊会话, 98914 获取群聊会话).

Does not know HTTP and messages.
"""

import re
from typing import TYPE_CHECKING

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings import ChatSettings
from worker_simulator.wecom_app.calls.envelope import authorised, received
from worker_simulator.wecom_app.rules.findings import Findings, typed, warned
from worker_simulator.wecom_app.rules.texts import CUT, TextRule
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_app.state.chats import Chat
from worker_simulator.wecom_app.state.directory import USERID, Directory

if TYPE_CHECKING:
    from worker_simulator.world import World

FEWEST, MOST = 2, 2000


def _named(body: Json, name: str, found: Findings) -> list[str]:
    """The userids of a list, each once, in lower case; a malformed one is 86007."""
    entries = typed(body, name, list, found) or []
    if not all(isinstance(entry, str) and USERID.fullmatch(entry) for entry in entries):
        raise Refused(86007)
    return list(dict.fromkeys(entry.lower() for entry in entries))


def _existing(userids: list[str], directory: Directory, rules: ChatSettings) -> list[str]:
    """The userids that exist; any other refuses the call, or is left out, by the setting."""
    known = [userid for userid in userids if directory.exists(userid)]
    if len(known) < len(userids) and rules.unknown_member_code:
        raise Refused(rules.unknown_member_code)
    return known


def _without(members: list[str], leavers: list[str], rules: ChatSettings) -> list[str]:
    """The members left when some go; a leaver who is no member refuses the call, or is ignored, by the setting."""
    if not set(leavers) <= set(members) and rules.unknown_member_code:
        raise Refused(rules.unknown_member_code)
    return [member for member in members if member not in leavers]


def _owner_among(body: Json, members: list[str], found: Findings) -> str | None:
    """The owner a call names, in lower case; has to be a member (86207). None where it names none."""
    owner = typed(body, "owner", str, found)
    if not owner:
        return None
    if not USERID.fullmatch(owner):
        raise Refused(86005)
    if owner.lower() not in members:
        raise Refused(86207)
    return str(owner.lower())


CHATID = re.compile(r"[0-9A-Za-z]+")
LONGEST_CHATID = 32
NAME = TextRule("name", limit=50, over=CUT, unit="chars")


def create(world: "World", request: HttpRequest) -> HttpAnswer:
    """Make a chat; without an owner its first member is the owner (the vendor picks one at random)."""
    app, body = received(world, request)
    refuse_without_scope(world, app)
    found = Findings(world.settings.codes)
    with warned(found):
        chat = _made(world, app, body, found)
    world.limits.count_chat_made(app.corpid, request.seq)
    world.chats.keep(chat)
    return accepted(errmsg=found.errmsg, chatid=chat.chatid)


def _made(world: "World", app: App, body: Json, found: Findings) -> Chat:
    chatid = _own_chatid(body, found)
    world.chats.refuse_taken(app.corpid, chatid or "")
    NAME.check(body, "chat", found)
    userlist = _named(body, "userlist", found)
    if not userlist:
        raise Refused(86204)
    members = _existing(userlist, world.directory, world.settings.chat)
    _refuse_number(members, 86006)
    owner = _owner_among(body, members, found) or members[0]
    return Chat(chatid or world.chats.new_chatid(), app, body.get("name") or "", owner, members, found.altered)


def update(world: "World", request: HttpRequest) -> HttpAnswer:
    """Change name, owner or members; an owner who goes has to name the next one (86203)."""
    app, body = received(world, request)
    refuse_without_scope(world, app)
    found = Findings(world.settings.codes)
    with warned(found):
        chat = world.chats.of(app, chatid_of(body, found))
        owner, members = _changed(world, chat, body, found)
    world.limits.count_chat_change(app.corpid, request.seq)
    chat.name = body.get("name") or chat.name
    chat.owner, chat.members = owner, members
    chat.altered = found.altered
    return accepted(errmsg=found.errmsg)


def _changed(world: "World", chat: Chat, body: Json, found: Findings) -> tuple[str, list[str]]:
    """The owner and the members a change leaves."""
    rules = world.settings.chat
    NAME.check(body, "chat", found)
    joining = _existing(_named(body, "add_user_list", found), world.directory, rules)
    leaving = _named(body, "del_user_list", found)
    members = _without(list(dict.fromkeys([*chat.members, *joining])), leaving, rules)
    _refuse_number(members, rules.too_few_code)
    owner = _owner_among(body, members, found)
    if owner is None and chat.owner not in members:
        raise Refused(86203)
    return owner or chat.owner, members


def get(world: "World", request: HttpRequest) -> HttpAnswer:
    """Answer with what is known of a chat."""
    app, chatid = authorised(world, request), request.query.get("chatid", "")
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
    if len(members) > MOST:
        raise Refused(86006)
    if len(members) < FEWEST and too_few:
        raise Refused(too_few)
