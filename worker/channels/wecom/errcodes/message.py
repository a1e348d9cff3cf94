"""Codes about the message, its recipients, its files or an earlier message: the call can never pass as it is."""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.row import Class, Errcode, Said, coded, refused

_RECIPIENT: Said = ("correct the recipients", "更正接收者")
_MESSAGE: Said = ("correct the message", "更正消息内容")
_CARD: Said = ("correct the card", "更正卡片")
_RECIPIENTS: Mapping[int, Said] = {
    40003: ("bad userid", "userid 无效"),
    40031: ("the list of userids has unknown ids", "userid 列表中有不存在的成员"),
    40032: ("more than 1000 userids", "userid 超过 1000 个"),
    40066: ("bad list of departments", "部门列表无效"),
    40068: ("bad tag id", "标签 id 无效"),
    40070: ("every tag is invalid", "所有标签均无效"),
    46004: ("the user does not exist", "成员不存在"),
    50002: ("a member is out of the permission range", "成员不在权限范围内"),
    60003: ("the department does not exist", "部门不存在"),
    60021: ("a user is outside the visible range", "成员不在应用可见范围内"),
    60111: ("the userid does not exist", "userid 不存在"),
    60123: ("the department does not exist", "部门不存在"),
    81012: ("no recipient scope given", "未指定接收范围"),
    81013: ("every recipient is unknown, invisible or without a licence", "全部接收者不存在、不可见或未获许可"),
    82001: ("users, departments and tags are all empty", "成员、部门、标签均为空"),
    82002: ("more than 100 departments", "部门超过 100 个"),
    82003: ("more than 100 tags", "标签超过 100 个"),
    92000: ("a user is outside the visible range", "成员不在应用可见范围内"),
}
_TARGETS: Mapping[int, Said] = {
    82101: ("the update has no target", "更新没有指定对象"),
    82102: ("a target of the update did not get the message", "更新对象未收到过该消息"),
}
_MEDIA: Mapping[int, Said] = {
    40004: ("bad media file type", "媒体文件类型无效"),
    40005: ("bad upload type", "type 参数无效"),
    40006: ("bad file size", "文件大小无效"),
    40007: (
        "bad media_id: unknown, older than 3 days, or of another kind",
        "media_id 无效：不存在、超过 3 天或类型不符",
    ),
    40009: ("bad image size", "图片大小无效"),
    40011: ("bad video size", "视频大小无效"),
    40123: ("broken image", "图片已损坏"),
    40145: ("the media_id is expired", "media_id 已过期"),
    40146: ("bad Range header", "Range 请求头无效"),
    41006: ("media_id missing", "缺少 media_id"),
    41090: ("the video is no valid MP4", "视频不是有效的 MP4"),
    44001: ("empty multipart file", "上传的文件为空"),
    45001: ("the media is too large", "媒体文件过大"),
    45007: ("the voice is longer than 60 s", "语音超过 60 秒"),
    301015: ("bad media id", "mediaid 无效"),
    301016: ("voice could not be read", "语音无法读取"),
    301017: ("the voice is not AMR", "语音不是 AMR 格式"),
    301019: ("md5 does not match", "md5 不匹配"),
    830001: ("bad url of a file", "文件 url 无效"),
    830002: ("the file is too large to download at once", "文件过大，无法一次下载"),
}
_CONTENT: Mapping[int, Said] = {
    40008: ("bad msgtype", "msgtype 无效"),
    40033: ("illegal characters (escapes)", "含有非法字符（\\u 转义）"),
    40035: ("bad parameter", "参数无效"),
    40039: ("url too long", "url 过长"),
    40058: (
        "bad parameter (JSON, length, array size, empty field, or another app's msgid)",
        "参数不合法（JSON、长度、数组大小、空字段，或其他应用的 msgid）",
    ),
    40063: ("a parameter is empty", "参数为空"),
    40074: ("news does not support safe", "news 不支持 safe"),
    40094: ("bad url", "url 无效"),
    40127: ("uri scheme not supported", "不支持的 uri 协议"),
    40206: ("the request body is too large", "请求体过大"),
    41010: ("url missing", "缺少 url"),
    41011: ("agentid missing", "缺少 agentid"),
    41016: ("title missing", "缺少标题"),
    41033: ("description missing", "缺少描述"),
    44002: ("empty POST", "POST 内容为空"),
    44003: ("empty news", "图文内容为空"),
    44004: ("text content empty", "文本内容为空"),
    45002: ("content too large", "内容过大"),
    45004: ("description too long", "描述过长"),
    45008: ("more than 8 articles", "图文超过 8 篇"),
    45022: ("name too long", "名称过长"),
    45032: ("mpnews author over 64 bytes", "mpnews 作者超过 64 字节"),
    45034: ("url without scheme", "url 缺少协议头"),
    90200: ("mini program notice: appid missing", "小程序通知：缺少 appid"),
    90201: ("mini program notice: too many items", "小程序通知：content_item 过多"),
    90202: ("mini program notice: bad key", "小程序通知：key 无效"),
    90203: ("mini program notice: bad value", "小程序通知：value 无效"),
    90204: ("mini program notice: bad page", "小程序通知：page 无效"),
    90207: ("mini program notice: bad appid", "小程序通知：appid 无效"),
}
_JUDGED: Mapping[int, Said] = {
    40201: ("blocked by anti-spam", "被反垃圾策略拦截"),
    40204: ("blocked by anti-spam", "被反垃圾策略拦截"),
    82004: ("content that could crash clients", "内容可能导致客户端崩溃"),
    84200: ("id translation failed", "id 转译失败"),
    85002: ("forbidden words", "含有违禁词"),
}
"""Codes about the content too, but by rules of the vendor's that change, or by what else was sent."""
_FOLLOW_UPS: Mapping[int, tuple[Said, Said]] = {
    42014: (
        ("task_id exists, is empty, too long or illegal", "task_id 已存在、为空、过长或不合法"),
        (
            "give another task_id; after an unanswered call of ours it means that the card was taken",
            "换一个 task_id；若此前的调用没有收到应答，则表示卡片已被接收",
        ),
    ),
    42015: (
        ("the card was sent by another app", "卡片由其他应用发送"),
        ("use the app that sent it", "使用发送该卡片的应用"),
    ),
    42016: (("the task_id to update is unknown", "要更新的 task_id 不存在"), ("send a new card", "发送新的卡片")),
    42052: (
        ("the msgid is older than 24 h", "msgid 已超过 24 小时"),
        ("send a correction: it cannot be recalled any more", "已无法撤回，请发送更正消息"),
    ),
    60140: (
        ("the response_code is used, expired or foreign", "response_code 已使用、已过期或不属于该应用"),
        (
            "never again with this code: wait for a click, which brings another, or send a new card",
            "不要再使用该 code：等待用户点击（会带来新的 code）或发送新的卡片",
        ),
    ),
}
_CARDS: Mapping[int, Said] = {
    42017: ("task card: button key unknown", "任务卡片：按钮 key 不存在"),
    42018: ("task card: bad button", "任务卡片：按钮无效"),
    42019: ("task card: bad button", "任务卡片：按钮无效"),
    42020: ("task card: bad button name", "任务卡片：按钮名称无效"),
    42027: ("card: keyname", "卡片：keyname"),
    42028: ("card: url", "卡片：url"),
    42030: ("card: appid", "卡片：appid"),
    42031: ("card: card_type", "卡片：card_type"),
    42033: ("card: title", "卡片：title"),
    42035: ("card: length of horizontal_content_list", "卡片：horizontal_content_list 长度"),
    42036: ("card: length of vertical_content_list", "卡片：vertical_content_list 长度"),
    42037: ("card: length of option_list", "卡片：option_list 长度"),
    42038: ("card: button text", "卡片：按钮文案"),
    42039: ("card: button key", "卡片：按钮 key"),
    42040: ("card: option id", "卡片：选项 id"),
    42041: ("card: option text", "卡片：选项文案"),
    42042: ("card: length of jump_list", "卡片：jump_list 长度"),
    42043: ("card: question_key", "卡片：question_key"),
    42044: ("card: card_image.url", "卡片：card_image.url"),
    42045: ("card: card_action", "卡片：card_action"),
    42046: ("card: key of the submit button", "卡片：提交按钮 key"),
    42047: ("card: length of select_list", "卡片：select_list 长度"),
    42049: ("card: text of the submit button", "卡片：提交按钮文案"),
    42050: ("card: userid of horizontal_content_list", "卡片：horizontal_content_list 的 userid"),
    42051: ("card: action keys clash", "卡片：action_list 的 key 重复"),
}

ROWS: tuple[Errcode, ...] = (
    *refused(_RECIPIENTS, _RECIPIENT, lasting=True),
    *refused(_TARGETS, _RECIPIENT),
    *refused(_MEDIA, ("upload a proper file", "上传合适的文件")),
    *refused(_CONTENT, _MESSAGE, lasting=True),
    *refused(_JUDGED, _MESSAGE),
    *coded(Class.PERMANENT, _FOLLOW_UPS),
    *refused(_CARDS, _CARD, lasting=True),
    *refused({42029: ("card: media_id", "卡片：media_id")}, _CARD),
)
