"""The error codes of a Youdu server that a sender can meet, as rows of data. Reads no reply; see `verdict.py`.

Source: a01_00009 (全局错误码). The classes are ours; never match on `errmsg`. -40001 to -40008 are codes of
the vendor's PHP SDK and never on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.row import Class, Errcode, coded, explained, refused
from worker.domain.outcome import Scope
from worker.language import Lang

Rows = Mapping[int, tuple[str, str]]

_RETRY: Rows = {-1: ("undefined internal error of the server", "again, a few times")}
_FETCH = "fetch a token; refused again, check appid and key"
_TOKEN: Rows = {
    100000: ("access token empty", _FETCH),
    100001: ("the access token does not exist", _FETCH),
    100002: ("the access token expired", _FETCH),
}
_RIGHT = "use an account of the right role, or give the app the right in the console"
_LANE: Rows = {
    3: ("the app has no right to this interface", _RIGHT),
    4: ("illegal access to data", _RIGHT),
    100005: (
        "invalid appId: unknown, or the wrong kind of app for this call",
        "correct appid, or use an account of the right role",
    ),
}
_BUIN = "correct buin: console, My enterprise, Enterprise info"
_ENVELOPE = "check that nothing between the worker and the server changes requests"
_ACCOUNT: Rows = {
    100006: (
        "the encrypted content cannot be decrypted",
        "correct the EncodingAESKey (44 characters, = at its end)",
    ),
    100008: ("buin missing", _ENVELOPE),
    100009: ("invalid buin", _BUIN),
    100010: ("appId missing", _ENVELOPE),
    100011: ("encrypt missing", _ENVELOPE),
    100012: ("buin is no integer", _ENVELOPE),
    100013: ("appId is no string", _ENVELOPE),
    100014: ("encrypt is no string", _ENVELOPE),
    300118: ("the organisation does not exist", "correct buin and base_url"),
}
_REFUSED: Mapping[int, str] = {
    2: "logically false",
    5: "bad request",
    100003: "bad request",
    100004: "bad message format (JSON)",
    200008: "the upload form is malformed",
    200009: "invalid file type",
}
_RECIPIENTS_AND_FILES: Rows = {
    200001: (
        "toUser too long",
        "send to fewer at once; this server takes fewer than 1000",
    ),
    200007: (
        "invalid toUser",
        "correct the accounts; say with invalid_users what the server does with the others",
    ),
    200010: (
        "the resource file does not exist",
        "upload the file again (done for files of a job)",
    ),
}

SYNC_DELAY_S = 60.0
"""Seconds to wait for a running synchronisation."""

_USERS: Mapping[int, str] = {
    300001: "the user id does not exist",
    300002: "the account could not be checked",
    300201: "user id missing",
    300202: "user name missing",
    300203: "the user has no department",
    300204: "user list missing",
    300205: "bad format of the user id",
    300206: "bad format of the user name",
    300207: "bad format of the gender",
    300208: "bad format of the mail address",
    300209: "bad format of the phone number",
    300210: "bad format of the mobile number",
    300211: "bad format of the department",
    300212: "bad format of the user list",
    300213: "bad format of the password",
    300214: "bad format of the kind of login",
    300215: "bad format of the position",
    300216: "bad format of the weight",
    300217: "bad format of the sort id",
    300218: "the user id is too long",
    300219: "the user name is too long",
    300220: "the mail address is too long",
    300221: "too many departments",
    300222: "the user list is too long",
    300223: "invalid user id",
    300224: "the user exists",
    300225: "the user does not exist",
    300226: "the department is empty",
    300227: "the user is not in the department",
    300301: "bad format of the department list",
    300302: "bad format of the department",
    300303: "bad format of the user",
    300304: "bad format of the positions",
    300306: "gender missing",
    300307: "the department does not exist",
    300308: "the department above does not exist",
    300311: "duplicate user id, or the job id does not exist (the number is assigned twice)",
}
_DEPARTMENTS: Mapping[int, str] = {
    300101: "the root department is forbidden",
    300102: "the department id is no integer",
    300103: "bad format of the department name",
    300104: "bad format of the department's sort id",
    300105: "bad format of the id above",
    300106: "invalid department id",
    300107: "invalid department name",
    300108: "invalid id above",
    300109: "department id missing",
    300110: "department name missing",
    300111: "id above missing",
    300112: "the department exists",
    300113: "the sort id exists",
    300114: "the department does not exist",
    300115: "the department has others below it",
    300116: "the department has users",
    300117: "the department name is too long",
    300119: "invalid department alias",
}
_GROUPS: Mapping[int, str] = {
    500001: "group name missing",
    500002: "bad format of the group name",
    500003: "the group name is too long",
    500004: "the group does not exist",
    500005: "illegal access to the group",
    500006: "group id missing",
    500007: "invalid user id",
    500008: "invalid group id",
}
_SYNC: Rows = {300312: ("a request to synchronise exists already", "wait for its end")}

ROWS: tuple[Errcode, ...] = (
    *coded(Class.RETRY, _RETRY),
    *coded(Class.TOKEN, _TOKEN, Scope.ACCOUNT),
    *coded(Class.CONFIG, _LANE, Scope.LANE),
    *coded(Class.CONFIG, _ACCOUNT, Scope.ACCOUNT),
    *refused(_REFUSED, "correct the message"),
    *coded(Class.PERMANENT, _RECIPIENTS_AND_FILES),
    *refused(_USERS, "correct the accounts"),
    *refused(_DEPARTMENTS, "correct the departments"),
    *refused(_GROUPS, "correct the group"),
    *coded(Class.DEFER, _SYNC, Scope.LANE, SYNC_DELAY_S),
)
"""The whole catalogue."""

_BY_CODE: Mapping[int, Errcode] = {row.code: row for row in ROWS}


def find(code: int) -> Errcode | None:
    """The row of a code, or None for one that is not documented."""
    return _BY_CODE.get(code)


def explain(code: int, lang: Lang = "en") -> list[str] | None:
    """What a code means, what the worker does, and what a person should do, as lines; None for an unknown code."""
    row = find(code)
    return None if row is None else explained(code, row, None, lang)
