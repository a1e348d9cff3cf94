"""The error codes of a Youdu server that a sender can meet, as rows of data. Reads no reply; see `verdict.py`.

Source: a01_00009 (全局错误码). The classes are ours; never match on `errmsg`. -40001 to -40008 are codes of
the vendor's PHP SDK and never on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.row import Class, Errcode, Said, coded, explained, refused
from worker.domain.outcome import Scope

Rows = Mapping[int, tuple[Said, Said]]

_RETRY: Rows = {
    -1: (("undefined internal error of the server", "服务器未定义的内部错误"), ("again, a few times", "自动重试数次"))
}
_FETCH: Said = (
    "fetch a token; refused again, check appid and key",
    "重新获取 accessToken；若仍失败，检查 appid 与 EncodingAESKey",
)
_TOKEN: Rows = {
    100000: (("access token empty", "accessToken 为空"), _FETCH),
    100001: (("the access token does not exist", "accessToken 不存在"), _FETCH),
    100002: (("the access token expired", "accessToken 已过期"), _FETCH),
}
_RIGHT: Said = (
    "use an account of the right role, or give the app the right in the console",
    "使用具备相应角色的账号，或在管理后台为应用授权",
)
_LANE: Rows = {
    3: (("the app has no right to this interface", "应用没有该接口权限"), _RIGHT),
    4: (("illegal access to data", "非法访问数据"), _RIGHT),
    100005: (
        (
            "invalid appId: unknown, or the wrong kind of app for this call",
            "appId 无效：不存在，或应用类型不适用于该接口",
        ),
        ("correct appid, or use an account of the right role", "更正 appid，或使用具备相应角色的账号"),
    ),
}
_BUIN: Said = (
    "correct buin: console, My enterprise, Enterprise info",
    "更正 buin（总机号）：管理后台 - 我的企业 - 企业信息",
)
_ENVELOPE: Said = (
    "check that nothing between the worker and the server changes requests",
    "检查中间代理是否改动了请求",
)
_ACCOUNT: Rows = {
    100006: (
        ("the encrypted content cannot be decrypted", "encrypt 解密失败"),
        ("correct the EncodingAESKey (44 characters, = at its end)", "更正 EncodingAESKey（44 个字符，以 = 结尾）"),
    ),
    100008: (("buin missing", "缺少 buin"), _ENVELOPE),
    100009: (("invalid buin", "buin 无效"), _BUIN),
    100010: (("appId missing", "缺少 appId"), _ENVELOPE),
    100011: (("encrypt missing", "缺少 encrypt"), _ENVELOPE),
    100012: (("buin is no integer", "buin 不是整数"), _ENVELOPE),
    100013: (("appId is no string", "appId 不是字符串"), _ENVELOPE),
    100014: (("encrypt is no string", "encrypt 不是字符串"), _ENVELOPE),
    300118: (("the organisation does not exist", "组织不存在"), ("correct buin and base_url", "更正 buin 与 base_url")),
}
_REFUSED: Mapping[int, Said] = {
    2: ("logically false", "逻辑假"),
    5: ("bad request", "请求错误"),
    100003: ("bad request", "请求错误"),
    100004: ("bad message format (JSON)", "消息格式错误（JSON）"),
    200008: ("the upload form is malformed", "上传表单格式错误"),
    200009: ("invalid file type", "文件类型无效"),
}
_RECIPIENTS_AND_FILES: Rows = {
    200001: (
        ("toUser too long", "toUser 过长"),
        ("send to fewer at once; this server takes fewer than 1000", "减少单次接收人数：该服务器的上限低于 1000"),
    ),
    200007: (
        ("invalid toUser", "toUser 无效"),
        (
            "correct the accounts; say with invalid_users what the server does with the others",
            "更正接收账号；用 invalid_users 说明服务器如何处理其余接收人",
        ),
    ),
    200010: (
        ("the resource file does not exist", "资源文件不存在"),
        ("upload the file again (done for files of a job)", "重新上传文件（任务自带的文件会自动重传）"),
    ),
}

SYNC_DELAY_S = 60.0
"""Seconds to wait for a running synchronisation."""

_USERS: Mapping[int, Said] = {
    300001: ("the user id does not exist", "用户 id 不存在"),
    300002: ("the account could not be checked", "账号校验失败"),
    300201: ("user id missing", "缺少用户 id"),
    300202: ("user name missing", "缺少用户名"),
    300203: ("the user has no department", "用户没有所属部门"),
    300204: ("user list missing", "缺少用户列表"),
    300205: ("bad format of the user id", "用户 id 格式错误"),
    300206: ("bad format of the user name", "用户名格式错误"),
    300207: ("bad format of the gender", "性别格式错误"),
    300208: ("bad format of the mail address", "邮箱格式错误"),
    300209: ("bad format of the phone number", "电话格式错误"),
    300210: ("bad format of the mobile number", "手机号格式错误"),
    300211: ("bad format of the department", "部门格式错误"),
    300212: ("bad format of the user list", "用户列表格式错误"),
    300213: ("bad format of the password", "密码格式错误"),
    300214: ("bad format of the kind of login", "认证类型格式错误"),
    300215: ("bad format of the position", "职位格式错误"),
    300216: ("bad format of the weight", "权重格式错误"),
    300217: ("bad format of the sort id", "排序 id 格式错误"),
    300218: ("the user id is too long", "用户 id 超长"),
    300219: ("the user name is too long", "用户名超长"),
    300220: ("the mail address is too long", "邮箱超长"),
    300221: ("too many departments", "部门超限"),
    300222: ("the user list is too long", "用户列表超限"),
    300223: ("invalid user id", "用户 id 无效"),
    300224: ("the user exists", "用户已存在"),
    300225: ("the user does not exist", "用户不存在"),
    300226: ("the department is empty", "部门为空"),
    300227: ("the user is not in the department", "用户不在该部门"),
    300301: ("bad format of the department list", "部门列表格式错误"),
    300302: ("bad format of the department", "部门格式错误"),
    300303: ("bad format of the user", "用户格式错误"),
    300304: ("bad format of the positions", "职位列表格式错误"),
    300306: ("gender missing", "缺少性别"),
    300307: ("the department does not exist", "部门不存在"),
    300308: ("the department above does not exist", "上级部门不存在"),
    300311: (
        "duplicate user id, or the job id does not exist (the number is assigned twice)",
        "用户 id 重复，或任务 id 不存在（该码有两种含义）",
    ),
}
_DEPARTMENTS: Mapping[int, Said] = {
    300101: ("the root department is forbidden", "禁止操作根部门"),
    300102: ("the department id is no integer", "部门 id 不是整数"),
    300103: ("bad format of the department name", "部门名称格式错误"),
    300104: ("bad format of the department's sort id", "部门排序 id 格式错误"),
    300105: ("bad format of the id above", "上级部门 id 格式错误"),
    300106: ("invalid department id", "部门 id 无效"),
    300107: ("invalid department name", "部门名称无效"),
    300108: ("invalid id above", "上级部门 id 无效"),
    300109: ("department id missing", "缺少部门 id"),
    300110: ("department name missing", "缺少部门名称"),
    300111: ("id above missing", "缺少上级部门 id"),
    300112: ("the department exists", "部门已存在"),
    300113: ("the sort id exists", "排序 id 已存在"),
    300114: ("the department does not exist", "部门不存在"),
    300115: ("the department has others below it", "部门存在子部门"),
    300116: ("the department has users", "部门存在用户"),
    300117: ("the department name is too long", "部门名称过长"),
    300119: ("invalid department alias", "部门别名无效"),
}
_GROUPS: Mapping[int, Said] = {
    500001: ("group name missing", "缺少群名称"),
    500002: ("bad format of the group name", "群名称格式错误"),
    500003: ("the group name is too long", "群名称过长"),
    500004: ("the group does not exist", "群不存在"),
    500005: ("illegal access to the group", "非法访问群"),
    500006: ("group id missing", "缺少群 id"),
    500007: ("invalid user id", "用户 id 无效"),
    500008: ("invalid group id", "群 id 无效"),
}
_SYNC: Rows = {
    300312: (("a request to synchronise exists already", "已存在同步请求"), ("wait for its end", "等待其结束"))
}

ROWS: tuple[Errcode, ...] = (
    *coded(Class.RETRY, _RETRY),
    *coded(Class.TOKEN, _TOKEN, Scope.ACCOUNT),
    *coded(Class.CONFIG, _LANE, Scope.LANE),
    *coded(Class.CONFIG, _ACCOUNT, Scope.ACCOUNT),
    *refused(_REFUSED, ("correct the message", "更正消息")),
    *coded(Class.PERMANENT, _RECIPIENTS_AND_FILES),
    *refused(_USERS, ("correct the accounts", "更正接收账号")),
    *refused(_DEPARTMENTS, ("correct the departments", "更正部门")),
    *refused(_GROUPS, ("correct the group", "更正群")),
    *coded(Class.DEFER, _SYNC, Scope.LANE, SYNC_DELAY_S),
)
"""The whole catalogue."""

_BY_CODE: Mapping[int, Errcode] = {row.code: row for row in ROWS}


def find(code: int) -> Errcode | None:
    """The row of a code, or None for one that is not documented."""
    return _BY_CODE.get(code)


def explain(code: int, lang: str = "en") -> list[str] | None:
    """What a code means, what the worker does, and what a person should do, as lines; None for an unknown code."""
    row = find(code)
    return None if row is None else explained(code, row, None, chinese=lang == "zh")
