"""Codes of app group chats, of group sends to customers, and those that are of neither but can be met all the same.

Group sends: pages 92135, 93338, 97610 and 97611, list on page 90313. None of those pages says which call answers which
code; where the texts name group sending it is meant.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.row import Class, Errcode, Said, coded, refused, run
from worker.domain.outcome import Scope

_CHAT: Said = ("correct the chat", "更正群聊参数")
_NOT_OURS: Said = ("not for a self-built app's messages; look at the account", "与自建应用消息无关，检查账号配置")

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
    40078: ("bad auth code of an authorisation", "临时授权码无效"),
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
_TEMPLATES = run(
    41300,
    41305,
    ("group sends from templates, another feature", "群发模板任务，属于其他功能"),
    ("look at who calls", "检查调用方"),
)
_CUSTOMERS: Mapping[int, Said] = {
    40096: (
        "bad external_userid: another caller's, or its member is outside the visible range",
        "external_userid 无效：属于其他调用方，或其成员不在可见范围内",
    ),
    41035: ("external_userid missing", "缺少 external_userid"),
    41048: ("there is no customer who can be sent to", "没有可发送的客户"),
    84061: ("the member and the customer are no contacts", "成员与客户不存在联系人关系"),
    84074: ("no right to external contacts", "没有外部联系人权限"),
    90501: ("not a customer group", "不是客户群"),
    90509: ("not a customer group", "不是客户群"),
    90511: ("bad opengid", "opengid 无效"),
    90514: ("the customer group is not of a marketing app", "客户群不属于营销应用"),
}
_TASK: Mapping[int, Said] = {
    41046: ("msgid of the group send missing", "缺少企业群发消息的 msgid"),
    41047: ("msgid of the group send invalid", "企业群发消息的 msgid 无效"),
}
_ATTACHMENTS: Mapping[int, Said] = {
    41064: ("more than 9 attachments", "附件超过 9 个"),
    41065: ("bad type of an attachment", "附件类型无效"),
    41088: ("the list of attachments is empty", "附件列表为空"),
}
_OVER: Mapping[int, tuple[Said, Said]] = {
    41093: (
        ("the group send was cancelled before", "企业群发此前已被停止"),
        ("nothing: what members had not sent stays unsent", "无需处理：成员尚未发送的内容不会再发送"),
    ),
    41094: (
        ("the members were reminded too often", "提醒成员群发的次数过多"),
        ("remind again later: three times in 24 h are allowed", "稍后再提醒：24 小时内最多三次"),
    ),
}
_DISPATCHING: Mapping[int, tuple[Said, Said]] = {
    41063: (
        ("the group send is being handed to its members", "企业群发任务正在派发"),
        ("wait a little, as right after it was made", "稍等片刻，常见于刚创建之后"),
    ),
}
_PAGING: Mapping[int, tuple[Said, Said]] = {
    50100: (("bad cursor", "分页游标无效"), ("again from the first page", "从第一页重新读取")),
}
_LANE: Mapping[int, tuple[Said, Said]] = {
    48011: (
        ("permission withdrawn: too few members are active", "成员活跃度不足，权限已收回"),
        ("let more members use customer contact", "提高成员使用客户联系的活跃度"),
    ),
    610023: (
        ("the corp has more customers than it may", "企业客户数超过上限"),
        ("extend the quota in the admin console", "在管理后台扩容"),
    ),
    610024: (
        ("the corp's business papers are missing", "缺少企业经营资质"),
        ("hand them in in the admin console", "在管理后台提交资质"),
    ),
}
ROWS: tuple[Errcode, ...] = (
    *_RUNS,
    *refused(_ELSEWHERE, _NOT_OURS),
    *refused(_CHATS, _CHAT),
    _TEMPLATES,
    *refused(_CUSTOMERS, ("correct sender and recipients", "更正发送成员和接收者")),
    *refused(_TASK, ("name a group send of this corp", "使用本企业的群发消息 msgid")),
    *refused(_ATTACHMENTS, ("correct the attachments", "更正附件")),
    *coded(Class.PERMANENT, _OVER),
    *coded(Class.DEFER, _DISPATCHING, delay=30.0),
    *coded(Class.RETRY, _PAGING),
    *coded(Class.CONFIG, _LANE, Scope.LANE),
)
