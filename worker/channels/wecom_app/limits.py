"""The published limits of application messages, and what a part costs against them. Counts nothing itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from worker.channels.wecom import upload
from worker.channels.wecom.limits import (
    CORP,
    IP,
    RATES,
    UPLOAD_IMAGE,
    adjusted,
    api_charges,
    counted,
    counted_by_api,
    with_amount,
)
from worker.channels.wecom_app.targets import people
from worker.domain.account import Account
from worker.domain.job import Part
from worker.domain.outcome import Scope
from worker.domain.pacing.limit import Charge, Limit, LimitCounter, Unit

PATHS: Mapping[str, str] = {
    "send": "/cgi-bin/message/send",
    "recall": "/cgi-bin/message/recall",
    "upload": upload.PATH,
    "update_card": "/cgi-bin/message/update_template_card",
    "send_chat": "/cgi-bin/appchat/send",
    "create_chat": "/cgi-bin/appchat/create",
    "change_chat": "/cgi-bin/appchat/update",
}

SENDS = "page 90236 发送应用消息 (2025/09/24)"
CHATS = "pages 90245 创建群聊会话, 98913 修改群聊会话, 90248 应用推送消息 (read 2026-02-12)"
PERSON_TIMES_PER_MEMBER = 200
"""A day's person-times of an app are the corp's account limit times this (page 90312)."""

# Beyond these the vendor drops messages without an error, so they are kept exactly. A staff answer also saw 45009. Only
# the member waits (scope PART), and others of the lane go on.
_MEMBER = (
    Limit("member_minute", 60, 30, Unit.PERSON_TIMES, Scope.PART, "silent drop", SENDS),
    Limit("member_hour", 3600, 1000, Unit.PERSON_TIMES, Scope.PART, "silent drop", SENDS),
)
# The vendor's day is Asia/Shanghai's, so two of its days' amounts may meet at midnight. A rolling day never exceeds it.
# LANE, not ACCOUNT: only sends are counted. Recalls, uploads and updates go on.
_APP_DAY = Limit("app_day", 86400, 0, Unit.PERSON_TIMES, Scope.LANE, "45009", RATES)

# By the verified size of the corp 300,000 (page 90312), 150,000, 350,000 or 700,000 an hour (page 90248): the least.
_CHAT_SENDS = (
    Limit("chat_minute", 60, 20_000, Unit.PERSON_TIMES, Scope.LANE, "45009", RATES),
    Limit("chat_hour", 3600, 150_000, Unit.PERSON_TIMES, Scope.LANE, "45009", CHATS),
)
# Dropped in silence, per member and app, whatever the chat. The members of a chat are unknown here, so the app's chats
# are assumed to share members unless the account says that they do not.
_CHAT_MEMBER = (
    Limit("chat_member_minute", 60, 200, Unit.PERSON_TIMES, Scope.PART, "silent drop", RATES),
    Limit("chat_member_day", 86400, 10_000, Unit.PERSON_TIMES, Scope.PART, "silent drop", RATES),
)
_OF_PATH: Mapping[str, tuple[Limit, ...]] = {
    "/cgi-bin/appchat/create": (Limit("chat_create_day", 86400, 1000, Unit.CALLS, Scope.LANE, "45009", CHATS),),
    "/cgi-bin/appchat/update": (Limit("chat_change_hour", 3600, 1000, Unit.CALLS, Scope.LANE, "45009", CHATS),),
    "/cgi-bin/media/uploadimg": UPLOAD_IMAGE,
}
"""Limits that some APIs have in addition to the base limits."""

PROFILE: Mapping[str, Limit] = {
    limit.name: limit
    for group in (_MEMBER, (_APP_DAY,), CORP, _CHAT_SENDS, _CHAT_MEMBER, *_OF_PATH.values(), IP)
    for limit in group
}
"""Limits by the name under which an account overrides the amount. `app_day` is 0 until the account sets its size."""


def charges_of(part: Part, account: Account) -> list[Charge]:
    """Returns what this call costs. An account's amounts replace ours, and 0 switches a limit off."""
    if part.kind != "send":
        calls = api_charges(account, path_of(part), _OF_PATH)
        return [*calls, *_chat_charges(part, account)] if part.kind == "send_chat" else calls
    app = f"{account.settings['corpid']}/{account.settings['agentid']}"
    charges, day = _member_charges(part, account, app), _app_day(account)
    if day.amount:  # a part that costs more counts as a whole day, or it could never go
        charges.append(Charge(day, app, min(person_times(part, account), day.amount)))
    return charges


def path_of(part: Part) -> str:
    """Returns the path of a part's call."""
    return upload.path_of(part) if part.kind == "upload" else PATHS[part.kind]


def _member_charges(part: Part, account: Account, app: str) -> list[Charge]:
    """Returns two charges for each user, and for each member of parties and tags if the application names them."""
    kept = adjusted(_MEMBER, account)
    users = people(part.spec, part.members) if part.members else part.spec.get("users", ())
    named = [(user, f"{app}/{user.lower()}") for user in users]
    return [Charge(limit, subject, recipient=user) for user, subject in named for limit in kept]


def _chat_charges(part: Part, account: Account) -> list[Charge]:
    """Returns what a send to a chat costs the corp (by the estimated number of members) and a single member."""
    corpid, chat = account.settings["corpid"], part.spec["chats"][0]
    members = estimated(account, "chat")
    apart = f"/{chat}" if account.settings.get("chats_share_members") is False else ""
    subject = f"{corpid}/{account.settings['agentid']}/chats{apart}"
    corp = [Charge(limit, f"{corpid}/chats", min(members, limit.amount)) for limit in adjusted(_CHAT_SENDS, account)]
    return [*corp, *(Charge(limit, subject) for limit in adjusted(_CHAT_MEMBER, account))]


def _app_day(account: Account) -> Limit:
    cap = account.settings.get("account_cap") or 0
    return with_amount(_APP_DAY, account.amount_of(with_amount(_APP_DAY, cap * PERSON_TIMES_PER_MEMBER)))


def all_counted(account: Account, recipient: str | None) -> Iterator[LimitCounter]:
    """Yields every limit of an account. With `recipient`, limits of a member or chat name that one's count."""
    corpid = account.settings["corpid"]
    app = f"{corpid}/{account.settings['agentid']}"
    member = ("each member", None) if recipient is None else (f"member {recipient}", f"{app}/{recipient.lower()}")
    yield from counted(_MEMBER, account, *member)
    yield LimitCounter(_app_day(account), "the app", app)
    yield from counted(_CHAT_SENDS, account, "the corp's chats", f"{corpid}/chats")
    chats = ("each chat", None) if account.settings.get("chats_share_members") is False else ("the app's chats", "")
    chat = (f"chat {recipient}", f"/{recipient}") if recipient is not None and chats[1] is None else chats
    yield from counted(_CHAT_MEMBER, account, chat[0], None if chat[1] is None else f"{app}/chats{chat[1]}")
    yield from counted_by_api({*PATHS.values(), *_OF_PATH} - {PATHS["send"]}, _OF_PATH, account)


def person_times(part: Part, account: Account) -> int:
    """Returns how many members the call is assumed to reach. Unknown members count by the account's estimates."""
    spec = part.spec
    if part.members is not None:
        return len(people(spec, part.members))
    if spec.get("everyone"):
        return estimated(account, "everyone")
    users, parties, tags = (len(spec.get(name, ())) for name in ("users", "parties", "tags"))
    return users + parties * estimated(account, "party") + tags * estimated(account, "tag")


def estimated(account: Account, group: str) -> int:
    """Returns the members that a group of unknown size counts as: the account's estimate, or 1, or `account_cap`."""
    everyone = account.settings.get("account_cap") or 1
    return int(account.settings.get("estimates", {}).get(group, everyone if group == "everyone" else 1))
