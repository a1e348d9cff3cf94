"""Codes of the directory and of groups, which may surface for unknown users and departments."""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.row import Class, Errcode, Said, coded, refused
from worker.domain.outcome import Scope

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
_ORGANISATION: Mapping[int, tuple[Said, Said]] = {
    300118: (
        ("the organisation does not exist", "组织不存在"),
        ("correct buin and base_url", "更正 buin 与 base_url"),
    )
}
_SYNC: Mapping[int, tuple[Said, Said]] = {
    300312: (("a request to synchronise exists already", "已存在同步请求"), ("wait for its end", "等待其结束"))
}

ROWS: tuple[Errcode, ...] = (
    *refused(_USERS, ("correct the accounts", "更正接收账号")),
    *refused(_DEPARTMENTS, ("correct the departments", "更正部门")),
    *refused(_GROUPS, ("correct the group", "更正群")),
    *coded(Class.CONFIG, _ORGANISATION, Scope.ACCOUNT),
    *coded(Class.DEFER, _SYNC, Scope.LANE, SYNC_DELAY_S),
)
