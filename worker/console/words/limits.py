"""The Chinese of what limits say of themselves: what they count for, what the vendor does beyond, and the source.

A limit says it in English, once, where the channel has it as data; vendor pages and error codes are their own words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from worker.drawing import Lang

PHRASES: Mapping[str, str] = {
    "the app": "本应用",
    "the app's chats": "本应用的群聊",
    "the corp's chats": "本企业的群聊",
    "the webhook": "本 webhook",
    "each member": "每个成员",
    "each chat": "每个会话",
    "each task": "每个群发任务",
    "each customer or group": "每个客户或客户群",
    "each person, by all accounts": "每个人（所有账号合计）",
    "each API, all of the ip": "每个接口，同一 IP 合计",
    "a member's single chat": "与成员的单聊",
    "broadcasts": "群发",
    "equal bodies in the air": "同时发送的相同内容",
    "not kept": "不计数",
    "silent drop": "静默丢弃",
    "unknown": "未公布",
    "none of the vendor's: it waits": "非厂商限制：等待",
    "status 3, no message": "状态 3，不发送",
    "the ip is shut out for an hour": "该 IP 被封禁一小时",
    "45033 or 45035 (not published which)": "45033 或 45035（厂商未说明）",
    "none published; ours, off unless an account sets an amount": "厂商未公布；本程序自设，账号填写数值后启用",
    "`ip` is not set, so nobody knows whose calls leave through the same address": (
        "账号未填写 ip，无法得知哪些调用共用出口"
    ),
    "for the services of third parties; these accounts are apps of the corp's own": (
        "针对第三方服务商；本账号是企业自建应用"
    ),
    "no call of ours has debug=1": "本程序的调用不带 debug=1",
    "a refused secret parks its account, and one call tries it every ten minutes": (
        "凭证被拒后停用账号，每十分钟试一次"
    ),
    "45033 halves the lane's calls in the air": "收到 45033 后队列并发减半",
    "what members send by themselves counts too; told at enqueue, and tracking tells whom it passed over": (
        "成员自行群发也计入；提交时提示，跟踪结果列出未收到者"
    ),
    "no number is published, it was seen from 400 on (2021-12)": "未公布数值，实测 400 起（2021-12）",
    "the amount by the vendor's staff (2021-08-13)": "数值来自厂商员工（2021-08-13）",
}
"""English phrase -> Chinese."""
NAMED: Mapping[str, str] = {"member": "成员", "chat": "会话", "task": "群发任务", "tenant": "租户"}
"""The word before a name."""
PARTS: tuple[tuple[str, str], ...] = (
    (r"^pages? (?=\d)", "文档 "),
    (r", help of (\d+)", r"，\1 的排查方法"),
    (r" \((\d{4}/\d\d/\d\d), read again ([-\d]+)\)", r"（\1，\2 复核）"),
    (r" \(read ([-\d]+)\)", r"（查阅于 \1）"),
    (r" \((\d{4}/\d\d/\d\d)\)", r"（\1）"),
    (r" \(its older introduction\)", "（旧版说明）"),
    (r", all of the ip$", "，同一 IP 合计"),
    (r"^customer_cap is (\w+)$", r"customer_cap 为 \1"),
)
"""What stands around names of vendor pages and of APIs, which are their own words."""


def limit_phrase(lang: Lang, text: str) -> str:
    """What a limit says of itself, in a language."""
    return text if lang == "en" else "；".join(map(_in_chinese, text.split("; ") if text not in PHRASES else [text]))


def _in_chinese(text: str) -> str:
    if text in PHRASES:
        return PHRASES[text]
    kind, _, name = text.partition(" ")
    if name and kind in NAMED:
        return f"{NAMED[kind]} {name}"
    for english, chinese in PARTS:
        text = re.sub(english, chinese, text)
    return text
