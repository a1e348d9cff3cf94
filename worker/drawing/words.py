"""The words of the drawing in Chinese and English: labels, marks, and what `altered` means.

Does not know a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from worker.drawing.shown import Lang

WORDS: Mapping[str, tuple[str, str]] = {
    "recalled": ("已撤回，成员不再看到", "Recalled: people no longer see it"),
    "updated": ("卡片已更新", "Card updated"),
    "mentioned": ("有人 @ 我", "Mentions you"),
    "safe_1": ("保密，不可分享", "Confidential, not to be shared"),
    "safe_2": ("仅限企业内分享", "To be shared inside the corp only"),
    "changes": ("与发送内容不同之处", "Different from what was sent"),
    "before": ("更新前的卡片", "The card before the update"),
    "rest": ("应用里不显示的字段", "Fields the app does not show"),
    "more": ("还有 {count} 个字段", "{count} more fields"),
    "unknown_type": ("未知类型 {type}，字段见下", "Unknown type {type}; its fields are below"),
    "picture": ("图片", "Picture"),
    "picture_bytes": ("约 {count} 字节", "about {count} bytes"),
    "voice": ("语音", "Voice"),
    "video": ("视频", "Video"),
    "file": ("文件", "File"),
    "file_bytes": ("{count} 字节", "{count} bytes"),
    "mini_program": ("小程序", "Mini program"),
    "all": ("所有人", "all"),
    "details": ("详情", "Details"),
    "whole": ("阅读全文", "Read the article"),
    "source": ("阅读原文", "Read the original"),
    "menu": ("更多操作", "More actions"),
    "choose": ("请选择", "Choose"),
    "submit": ("提交", "Submit"),
    "confirm": ("发送", "Send"),
    "ignore": ("忽略", "Ignore"),
    "signs_in": ("附带登录信息", "Signs the member in"),
    "system": ("系统消息", "System message"),
    "window": ("弹窗", "Pop-up window"),
    "web_page": ("网页", "Web page"),
    "stays": ("{count} 秒后关闭", "Closes after {count} s"),
    "stays_open": ("需手动关闭", "Stays until it is closed"),
    "position_0": ("屏幕中央", "Centre of the screen"),
    "position_1": ("左上角", "Top left"),
    "position_2": ("右上角", "Top right"),
    "position_3": ("右下角", "Bottom right"),
    "position_4": ("左下角", "Bottom left"),
    "sms_from": ("短信，来自", "SMS from"),
    "new_mail": ("新邮件", "New mail"),
    "unread_mail": ("{count} 封未读邮件", "{count} unread mails"),
    "no_subject": ("（无主题）", "(no subject)"),
    "cut": ("已截断", "cut"),
    "cut_long": ("被截断：最多 {limit} {unit}，发送了 {size}", "was cut: at most {limit} {unit}, {size} were sent"),
    "cut_plain": ("被截断", "was cut"),
    "bytes": ("字节", "bytes"),
    "chars": ("个字符", "characters"),
    "unknown value": ("未知取值", "unknown value"),
    "unknown value_long": ("取值未知，按默认值显示", "has an unknown value and is shown as the default"),
    "not defined": ("未定义", "not defined"),
    "not defined_long": ("此类消息没有这个字段，不显示", "is no field of this type and is not shown"),
    "wrong type": ("类型错误", "wrong type"),
    "wrong type_long": ("值的类型不对，不显示", "has a value of the wrong type and is not shown"),
    "ids translated": ("ID 已转译", "ids translated"),
    "ids translated_long": ("中的 ID 显示为名称", "shows names in place of ids"),
    "too long, shown": ("超长", "too long"),
    "too long, shown_long": (
        "超过 {limit} {unit}（{size}），仍完整显示",
        "is longer than {limit} {unit} ({size}) and is shown whole",
    ),
    "shown as typed": ("原样显示", "shown as typed"),
    "shown as typed_long": ("中的标记不生效，原样显示", "has marks that do nothing here and are shown as typed"),
    "not shown on blackboards": ("黑板不显示", "not on blackboards"),
    "not shown on blackboards_long": ("黑板不接收此类消息", "is of a type that blackboards do not take"),
}
"""Chinese and English by key; `{...}` are filled in."""

Say = Callable[..., str]


def says(lang: Lang) -> Say:
    """The words of one language: called with a key and what fills it in; a key without a word is itself the word."""
    number = 0 if lang == "zh" else 1

    def say(key: str, **values: object) -> str:
        pair = WORDS.get(key)
        return pair[number].format(**values) if pair else key

    return say
