"""Codes about the call, the app, its token and key, messages and media."""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.row import Class, Errcode, Said, coded, refused
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
}
_REFUSED: Mapping[int, Said] = {
    2: ("logically false", "逻辑假"),
    5: ("bad request", "请求错误"),
    100003: ("bad request", "请求错误"),
    100004: ("bad message format (JSON)", "消息格式错误（JSON）"),
    200008: ("the upload form is malformed", "上传表单格式错误"),
    200009: ("invalid file type", "文件类型无效"),
}
_PEOPLE: Rows = {
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
}
_MEDIA: Rows = {
    200010: (
        ("the resource file does not exist", "资源文件不存在"),
        ("upload the file again (done for files of a job)", "重新上传文件（任务自带的文件会自动重传）"),
    )
}

ROWS: tuple[Errcode, ...] = (
    *coded(Class.RETRY, _RETRY),
    *coded(Class.TOKEN, _TOKEN, Scope.ACCOUNT),
    *coded(Class.CONFIG, _LANE, Scope.LANE),
    *coded(Class.CONFIG, _ACCOUNT, Scope.ACCOUNT),
    *refused(_REFUSED, ("correct the message", "更正消息")),
    *coded(Class.PERMANENT, _PEOPLE),
    *coded(Class.PERMANENT, _MEDIA),
)
