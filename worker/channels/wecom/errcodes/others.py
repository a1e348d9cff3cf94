"""Codes of app group chats, and those that are none of a self-built app's messages but can be met all the same."""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.row import Class, Errcode, Said, refused, run
from worker.domain.outcome import Scope

_CHAT: Said = ("correct the chat", "更正群聊参数")
_NOT_OURS: Said = (
    "not for a self-built app's messages; look at the account",
    "与自建应用消息无关，检查账号配置",
)

_CHATS: Mapping[int, Said] = {
    40050: ("the chat does not exist", "群聊不存在"),
    49008: ("the chat is dissolved", "群聊已解散"),
    86001: ("bad chatid", "chatid 不合法"),
    86003: ("the chat does not exist", "群聊不存在"),
    86004: ("chat: bad name", "群聊：名称不合法"),
    86005: ("chat: bad owner", "群聊：群主不合法"),
    86006: ("chat: bad number of members", "群聊：成员数不合法"),
    86007: ("chat: bad member", "群聊：成员不合法"),
    86101: ("only the owner may", "仅群主可操作"),
    86215: ("the chatid exists", "chatid 已存在"),
    86216: ("a member is not in the corp or the chat", "成员不在企业或群聊中"),
    86220: ("chat: bad request", "群聊：请求不合法"),
    86222: ("chat: bad request", "群聊：请求不合法"),
    86224: ("chat: bad request", "群聊：请求不合法"),
}
_ELSEWHERE: Mapping[int, Said] = {
    42003: ("oauth code expired", "oauth code 已过期"),
    42007: ("pre_auth_code expired", "pre_auth_code 已过期"),
    42009: ("suite token expired", "suite_access_token 已过期"),
    43004: ("the member has not bound the plugin", "成员未关注微信插件"),
    45024: ("account limit", "账号数量超限"),
    45026: ("deletion guard", "触发删除保护"),
    45029: ("the answer would be too large", "返回内容过大"),
    46003: ("menu not set", "未设置菜单"),
    50001: ("bad redirect domain", "redirect_url 域名无效"),
}
_SCHOOL: Said = ("school contacts", "家校通讯录")
_RUNS = (
    run(60203, 60222, ("template_msg (third-party apps)", "模板消息（第三方应用）"), _NOT_OURS),
    run(65000, 65999, _SCHOOL, _NOT_OURS),
    run(
        65022,
        65024,
        ("no school permission", "没有家校权限"),
        ("grant the app the permission", "为应用授予该权限"),
        Class.CONFIG,
        Scope.LANE,
    ),
    run(86201, 86207, ("chat: a parameter is missing or too large", "群聊：参数缺失或过大"), _CHAT),
    run(86214, 86214, ("chat: bad request", "群聊：请求不合法"), _CHAT),
    run(86217, 86217, ("chat: bad request", "群聊：请求不合法"), _CHAT),
    run(90500, 90511, ("customer-group inheritance, not app messages", "客户群继承，与应用消息无关"), _NOT_OURS),
    run(93000, 93999, ("webhook robots, not app messages", "群机器人，与应用消息无关"), _NOT_OURS),
)

ROWS: tuple[Errcode, ...] = (*_RUNS, *refused(_ELSEWHERE, _NOT_OURS), *refused(_CHATS, _CHAT))
