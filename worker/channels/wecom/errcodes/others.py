"""Codes of app group chats, of group sends to customers, and those that are of neither but can be met all the same.

Group sends: pages 92135, 93338, 97610 and 97611, list on page 90313. None of those pages says which call answers which
code; where the texts name group sending it is meant.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.row import Class, Errcode, coded, refused, run
from worker.domain.outcome import Scope

_CHAT = "correct the chat"
_NOT_OURS = "not for a self-built app's messages; look at the account"

_CHATS: Mapping[int, str] = {
    40050: "the chat does not exist",
    49008: "the chat is dissolved",
    86001: "bad chatid",
    86003: "the chat does not exist",
    86004: "chat: bad name",
    86005: "chat: bad owner",
    86006: "chat: bad number of members",
    86007: "chat: bad member",
    86101: "only the owner may",
    86215: "the chatid exists",
    86216: "a member is not in the corp or the chat",
    86220: "chat: bad request",
    86222: "chat: bad request",
    86224: "chat: bad request",
}
_ELSEWHERE: Mapping[int, str] = {
    40078: "bad auth code of an authorisation",
    42003: "oauth code expired",
    42007: "pre_auth_code expired",
    42009: "suite token expired",
    43004: "the member has not bound the plugin",
    45024: "account limit",
    45026: "deletion guard",
    45029: "the answer would be too large",
    46003: "menu not set",
    50001: "bad redirect domain",
}
_SCHOOL = "school contacts"
_RUNS = (
    run(60203, 60222, "template_msg (third-party apps)", _NOT_OURS),
    run(65000, 65999, _SCHOOL, _NOT_OURS),
    run(
        65022,
        65024,
        "no school permission",
        "grant the app the permission",
        Class.CONFIG,
        Scope.LANE,
    ),
    run(86201, 86207, "chat: a parameter is missing or too large", _CHAT),
    run(86214, 86214, "chat: bad request", _CHAT),
    run(86217, 86217, "chat: bad request", _CHAT),
    run(90500, 90511, "customer-group inheritance, not app messages", _NOT_OURS),
    run(93000, 93999, "webhook robots, not app messages", _NOT_OURS),
)
_TEMPLATES = run(
    41300,
    41305,
    "group sends from templates, another feature",
    "look at who calls",
)
_CUSTOMERS: Mapping[int, str] = {
    40096: "bad external_userid: another caller's, or its member is outside the visible range",
    41035: "external_userid missing",
    41048: "there is no customer who can be sent to",
    84061: "the member and the customer are no contacts",
    84074: "no right to external contacts",
    90501: "not a customer group",
    90509: "not a customer group",
    90511: "bad opengid",
    90514: "the customer group is not of a marketing app",
}
_TASK: Mapping[int, str] = {
    41046: "msgid of the group send missing",
    41047: "msgid of the group send invalid",
}
_ATTACHMENTS: Mapping[int, str] = {
    41064: "more than 9 attachments",
    41065: "bad type of an attachment",
    41088: "the list of attachments is empty",
}
_OVER: Mapping[int, tuple[str, str]] = {
    41093: (
        "the group send was cancelled before",
        "nothing: what members had not sent stays unsent",
    ),
    41094: (
        "the members were reminded too often",
        "remind again later: three times in 24 h are allowed",
    ),
}
_DISPATCHING: Mapping[int, tuple[str, str]] = {
    41063: (
        "the group send is being handed to its members",
        "wait a little, as right after it was made",
    ),
}
_PAGING: Mapping[int, tuple[str, str]] = {
    50100: ("bad cursor", "again from the first page"),
}
_LANE: Mapping[int, tuple[str, str]] = {
    48011: (
        "permission withdrawn: too few members are active",
        "let more members use customer contact",
    ),
    610023: (
        "the corp has more customers than it may",
        "extend the quota in the admin console",
    ),
    610024: (
        "the corp's business papers are missing",
        "hand them in in the admin console",
    ),
}
ROWS: tuple[Errcode, ...] = (
    *_RUNS,
    *refused(_ELSEWHERE, _NOT_OURS),
    *refused(_CHATS, _CHAT),
    _TEMPLATES,
    *refused(_CUSTOMERS, "correct sender and recipients"),
    *refused(_TASK, "name a group send of this corp"),
    *refused(_ATTACHMENTS, "correct the attachments"),
    *coded(Class.PERMANENT, _OVER),
    *coded(Class.DEFER, _DISPATCHING, delay=30.0),
    *coded(Class.RETRY, _PAGING),
    *coded(Class.CONFIG, _LANE, Scope.LANE),
)
