"""Members of a group chat (90245, 98913): the lists that calls give, and the owner.

Does not know chats that exist.
"""

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.settings import ChatSettings
from worker_simulator.wecom_app.rules.findings import Findings, typed
from worker_simulator.wecom_app.state.directory import USERID, Directory

FEWEST, MOST = 2, 2000


def named(body: Json, name: str, found: Findings) -> list[str]:
    """The userids of a list, each once, in lower case; a malformed one is 86007."""
    entries = typed(body, name, list, found) or []
    if not all(isinstance(entry, str) and USERID.fullmatch(entry) for entry in entries):
        raise Refused(86007)
    return list(dict.fromkeys(entry.lower() for entry in entries))


def existing(userids: list[str], directory: Directory, rules: ChatSettings) -> list[str]:
    """The userids that exist; any other refuses the call, or is left out, by the setting."""
    known = [userid for userid in userids if directory.exists(userid)]
    if len(known) < len(userids) and rules.unknown_member_code:
        raise Refused(rules.unknown_member_code)
    return known


def without(members: list[str], leavers: list[str], rules: ChatSettings) -> list[str]:
    """The members left when some go; a leaver who is no member refuses the call, or is ignored, by the setting."""
    if not set(leavers) <= set(members) and rules.unknown_member_code:
        raise Refused(rules.unknown_member_code)
    return [member for member in members if member not in leavers]


def owner_among(body: Json, members: list[str], found: Findings) -> str | None:
    """The owner a call names, in lower case; has to be a member (86207). None where it names none."""
    owner = typed(body, "owner", str, found)
    if not owner:
        return None
    if not USERID.fullmatch(owner):
        raise Refused(86005)
    if owner.lower() not in members:
        raise Refused(86207)
    return str(owner.lower())
