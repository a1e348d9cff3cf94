"""Codes that are not about the message: transient ones, tokens, frequency, and what an operator must correct."""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.row import Class, Errcode, Said, coded
from worker.domain.outcome import Penalty, Scope

Rows = Mapping[int, tuple[Said, Said]]

_AGAIN: Said = ("again", "自动重试")
_RETRY: Rows = {
    -1: (("the vendor is busy", "系统繁忙"), ("again, at most three times", "自动重试，最多三次")),
    6000: (("data version conflict", "数据版本冲突"), _AGAIN),
    81026: (("feature under maintenance", "功能维护中"), ("again in some minutes", "几分钟后重试")),
    830003: (("download failed", "下载失败"), _AGAIN),
}
_CONFLICT: Rows = {45035: (("concurrent change conflict", "并发修改冲突"), ("again, one at a time", "逐个重试"))}
_TOKEN: Rows = {
    40001: (
        ("bad credential", "凭证无效"),
        ("fetch a token; refused again, check the secret", "重新获取 access_token；若仍失败，检查 secret"),
    ),
    40014: (
        ("bad access_token", "access_token 无效"),
        ("fetch a token; refused again, check the app", "重新获取 access_token；若仍失败，检查应用"),
    ),
    40082: (
        ("bad suite_access_token", "suite_access_token 无效"),
        ("fetch a suite_access_token", "重新获取 suite_access_token"),
    ),
    41001: (("access_token missing", "缺少 access_token"), ("fetch a token", "重新获取 access_token")),
    42001: (("access_token expired", "access_token 已过期"), ("fetch a token", "重新获取 access_token")),
}
_PARTNER: Said = ("check the third-party authorisation", "检查第三方授权")
_LICENCE: Said = ("buy or renew the licence", "购买或续期接口许可")
_ACCOUNT: Rows = {
    40013: (("bad corpid", "corpid 无效"), ("correct corpid", "更正 corpid")),
    40056: (("bad agentid", "agentid 无效"), ("correct agentid", "更正 agentid")),
    40080: (("bad suite_secret", "suite_secret 无效"), ("correct the suite's secret", "更正 suite_secret")),
    40083: (("bad suite_id", "suite_id 无效"), ("correct suite_id", "更正 suite_id")),
    40084: (
        ("bad permanent code, or the corp has withdrawn its authorisation", "永久授权码无效，或企业已取消授权"),
        ("let the corp authorise the app again; a configured code must be of this suite", "请企业重新授权该应用"),
    ),
    40085: (
        ("bad suite_ticket", "suite_ticket 无效或已失效"),
        ("refresh the ticket in the provider's console (刷新Ticket)", "在服务商后台点击刷新Ticket"),
    ),
    40091: (
        ("the secret belongs to another corp or app", "secret 属于其他企业或应用"),
        ("correct the secret", "更正 secret"),
    ),
    41002: (("corpid missing", "缺少 corpid"), ("set corpid", "填写 corpid")),
    41004: (("secret missing", "缺少 secret"), ("set the secret", "填写 secret")),
    43009: (("the corp is not verified", "企业未认证"), ("verify the corp with the vendor", "完成企业认证")),
    45031: (
        ("the secret is considered unsafe", "secret 存在安全风险"),
        ("reset the secret in the admin console and configure the new one", "在管理后台重置 secret，并配置新的"),
    ),
    48003: (("bad suite id", "suite id 无效"), _PARTNER),
    48004: (("bad suite authorisation", "授权关系无效"), _PARTNER),
    48010: (("TLS version not supported", "不支持的 TLS 版本"), ("use a newer TLS library", "升级 TLS 库")),
    50003: (("the app is disabled", "应用已停用"), ("enable the app in the admin console", "在管理后台启用应用")),
    60020: (
        ("the caller's IP is not trusted", "调用方 IP 不在可信 IP 中"),
        ("add the IP to the app's trusted IPs; it acts after a minute", "将该 IP 加入应用的可信 IP，约一分钟后生效"),
    ),
    301002: (
        ("the token may not act for this agentid", "该 access_token 无权操作此 agentid"),
        ("use the agentid of the app the secret belongs to", "使用该 secret 所属应用的 agentid"),
    ),
    301007: (("the corp is dissolved or banned", "企业已解散或被封禁"), ("ask the vendor", "联系企业微信客服")),
    301042: (
        ("the IP is not on the whitelist", "IP 不在白名单中"),
        ("add the IP to the whitelist", "将该 IP 加入白名单"),
    ),
    701008: (("no valid interface licence", "没有有效的接口许可"), _LICENCE),
    701099: (("no valid interface licence", "没有有效的接口许可"), _LICENCE),
    2000002: (("the corpid does not exist", "corpid 不存在"), ("correct corpid", "更正 corpid")),
}
_LANE: Rows = {
    43012: (
        ("the app has no callback URL", "应用未设置回调 URL"),
        ("configure a callback URL for the app", "为应用设置接收消息的回调 URL"),
    ),
    48001: (("feature not authorised", "功能未授权"), ("authorise it in the admin console", "在管理后台授权")),
    48002: (("the app may not call this API", "应用无权调用该接口"), ("use an app that may", "使用有权限的应用")),
    48005: (("the API is retired", "接口已下线"), ("use its successor", "使用替代接口")),
    48006: (("permission withdrawn after long disuse", "长期未使用，权限已收回"), ("grant it again", "重新授权")),
    60011: (
        ("no permission on a member, department or tag", "对成员、部门或标签没有权限"),
        ("widen the app's visible range", "扩大应用可见范围"),
    ),
    60031: (("the app is barred from this API", "应用被禁止调用该接口"), ("ask the vendor", "联系企业微信客服")),
    90206: (
        ("the mini program is not linked to the app", "小程序未关联到该应用"),
        ("link it in the admin console", "在管理后台关联小程序"),
    ),
    90208: (
        ("the mini program's appid does not match the app", "小程序 appid 与应用不匹配"),
        ("use the linked mini program", "使用已关联的小程序"),
    ),
    92002: (("cross-corp call", "跨企业调用"), ("use objects of this corp", "使用本企业的对象")),
    92003: (("cross-app call", "跨应用调用"), ("use objects of this app", "使用本应用的对象")),
}
# One chat: the call is rejected, and other chats go on (see `verdict.py`).
_ONE_CHAT: Rows = {
    86008: (
        ("the chat belongs to another app", "群聊属于其他应用"),
        ("use the app that made it; only this call is rejected", "使用创建该群的应用；仅本次调用被拒绝"),
    ),
}
_FREQUENCY: Rows = {
    45009: (
        ("frequency limit", "接口调用超过频率限制"),
        ("wait: a minute, then an hour, then until midnight in Beijing", "等待：先一分钟，再一小时，再到北京时间零点"),
    )
}
_PARALLEL: Rows = {
    45033: (
        ("too many concurrent calls", "并发调用过多"),
        ("wait a little and call less in parallel", "稍等，并降低并发"),
    )
}
_ABNORMAL: Rows = {
    45036: (
        ("data access restricted after abnormal traffic", "流量异常，数据访问受限"),
        ("find out what called so much", "查明异常调用的来源"),
    )
}

ROWS: tuple[Errcode, ...] = (
    *coded(Class.RETRY, _RETRY),
    *coded(Class.TOKEN, _TOKEN),
    *coded(Class.CONFIG, _ACCOUNT, Scope.ACCOUNT),
    *coded(Class.CONFIG, _LANE, Scope.LANE),
    *coded(Class.CONFIG, _ONE_CHAT),
    *coded(Class.DEFER, _FREQUENCY, Scope.LANE, delay=60.0, penalty=Penalty.FREQUENCY),
    *coded(Class.DEFER, _PARALLEL, Scope.LANE, delay=2.0, penalty=Penalty.PARALLEL),
    *coded(Class.RETRY, _CONFLICT, Scope.LANE, delay=2.0, penalty=Penalty.SERIAL),
    *coded(Class.DEFER, _ABNORMAL, Scope.LANE, delay=60.0, penalty=Penalty.ALARM),
)
