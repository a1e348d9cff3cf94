"""Codes of group sends to customers and customer groups (pages 92135, 93338, 97610, 97611; list on page 90313).

None of those pages says which call answers which code; where the texts name group sending it is meant.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.row import Class, Errcode, Said, coded, refused, run
from worker.domain.outcome import Scope

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
_RUNS = (
    run(
        41300,
        41305,
        ("group sends from templates, another feature", "群发模板任务，属于其他功能"),
        ("look at who calls", "检查调用方"),
    ),
)

ROWS: tuple[Errcode, ...] = (
    *_RUNS,
    *refused(_CUSTOMERS, ("correct sender and recipients", "更正发送成员和接收者")),
    *refused(_TASK, ("name a group send of this corp", "使用本企业的群发消息 msgid")),
    *refused(_ATTACHMENTS, ("correct the attachments", "更正附件")),
    *coded(Class.PERMANENT, _OVER),
    *coded(Class.DEFER, _DISPATCHING, delay=30.0),
    *coded(Class.RETRY, _PAGING),
    *coded(Class.CONFIG, _LANE, Scope.LANE),
)
