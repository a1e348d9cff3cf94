"""appchat/create, update and get (90245 创建群聊会话, 98913 修改群聊会话, 98914 获取群聊会话)."""

import re

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings import ChatSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.calls.envelope import authorise, read_call
from worker_simulator.wecom_app.rules.findings import Findings, format_warnings, typed
from worker_simulator.wecom_app.rules.texts import CUT, TextRule
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_app.state.chats import Chat
from worker_simulator.wecom_app.state.directory import USERID, Directory

MIN_MEMBERS, MAX_MEMBERS = 2, 2000


def _userids(body: Json, name: str, findings: Findings) -> list[str]:
    """Returns the userids of a list in lower case, without repeats. Refuses a malformed one with 86007."""
    entries = typed(body, name, list, findings) or []
    if not all(isinstance(entry, str) and USERID.fullmatch(entry) for entry in entries):
        raise Refused(86007)
    return list(dict.fromkeys(entry.lower() for entry in entries))


def _existing_members(userids: list[str], directory: Directory, rules: ChatSettings) -> list[str]:
    """Returns the userids that exist. An unknown one is refused or omitted, by setting."""
    existing = [userid for userid in userids if directory.exists(userid)]
    if len(existing) < len(userids) and rules.unknown_member_code:
        raise Refused(rules.unknown_member_code)
    return existing


def _without(members: list[str], leavers: list[str], rules: ChatSettings) -> list[str]:
    """Returns the members without the leavers. A leaver who is no member is refused or ignored, by setting."""
    if not set(leavers) <= set(members) and rules.unknown_member_code:
        raise Refused(rules.unknown_member_code)
    return [member for member in members if member not in leavers]


def _named_owner(body: Json, members: list[str], findings: Findings) -> str | None:
    """Returns the owner of the body in lower case, or None. Refuses an owner who is no member with 86207."""
    owner = typed(body, "owner", str, findings)
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


def create(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers appchat/create. Without an owner, the first member becomes the owner (the vendor chooses at random)."""
    app, body = read_call(state, request)
    refuse_without_scope(state, app)
    findings = Findings(state.settings.codes)
    with format_warnings(findings):
        chat = _new_chat(state, app, body, findings)
    state.limits.count_new_chat(app.corpid, request.seq)
    state.chats.add(chat)
    return accepted(errmsg=findings.errmsg, chatid=chat.chatid)


def _new_chat(state: VendorState, app: App, body: Json, findings: Findings) -> Chat:
    chatid = _requested_chatid(body, findings)
    state.chats.refuse_existing(app.corpid, chatid or "")
    NAME.check(body, "chat", findings)
    userlist = _userids(body, "userlist", findings)
    if not userlist:
        raise Refused(86204)
    members = _existing_members(userlist, state.directory, state.settings.chat)
    _refuse_number(members, 86006)
    owner = _named_owner(body, members, findings) or members[0]
    return Chat(chatid or state.chats.new_chatid(), app, body.get("name") or "", owner, members, findings.altered)


def update(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers appchat/update: changes name, owner or members. An owner who leaves must name the next one (86203)."""
    app, body = read_call(state, request)
    refuse_without_scope(state, app)
    findings = Findings(state.settings.codes)
    with format_warnings(findings):
        chat = state.chats.of(app, chatid_of(body, findings))
        owner, members = _change(state, chat, body, findings)
    state.limits.count_chat_change(app.corpid, request.seq)
    chat.name = body.get("name") or chat.name
    chat.owner, chat.members = owner, members
    chat.altered = findings.altered
    return accepted(errmsg=findings.errmsg)


def _change(state: VendorState, chat: Chat, body: Json, findings: Findings) -> tuple[str, list[str]]:
    """Returns owner and members after the change."""
    rules = state.settings.chat
    NAME.check(body, "chat", findings)
    joining = _existing_members(_userids(body, "add_user_list", findings), state.directory, rules)
    leaving = _userids(body, "del_user_list", findings)
    members = _without(list(dict.fromkeys([*chat.members, *joining])), leaving, rules)
    _refuse_number(members, rules.too_few_code)
    owner = _named_owner(body, members, findings)
    if owner is None and chat.owner not in members:
        raise Refused(86203)
    return owner or chat.owner, members


def get(state: VendorState, request: HttpRequest) -> HttpAnswer:
    """Answers appchat/get."""
    app, chatid = authorise(state, request), request.query.get("chatid", "")
    refuse_without_scope(state, app)
    if not chatid:
        raise Refused(86201)
    return accepted(chat_info=state.chats.of(app, chatid).info())


def refuse_without_scope(state: VendorState, app: App) -> None:
    """Refuses apps whose visible range is not the root department: they have no chats."""
    code = state.settings.chat.no_scope_code
    if code and not app.settings.root_scope:
        raise Refused(code)


def chatid_of(body: Json, findings: Findings) -> str:
    """Returns the chatid of the body. Refuses a body without one with 86201."""
    chatid = typed(body, "chatid", str, findings)
    if not chatid:
        raise Refused(86201)
    return str(chatid)


def _requested_chatid(body: Json, findings: Findings) -> str | None:
    """Returns the chatid of the caller, or None: up to 32 characters of `0-9A-Za-z` (86001, 86205)."""
    chatid = typed(body, "chatid", str, findings)
    if not chatid:
        return None
    if len(chatid) > LONGEST_CHATID:
        raise Refused(86205)
    if not CHATID.fullmatch(chatid):
        raise Refused(86001)
    return str(chatid)


def _refuse_number(members: list[str], too_few: int) -> None:
    if len(members) > MAX_MEMBERS:
        raise Refused(86006)
    if len(members) < MIN_MEMBERS and too_few:
        raise Refused(too_few)
