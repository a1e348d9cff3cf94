"""The words of the first page."""

from __future__ import annotations

from collections.abc import Mapping

HOME: Mapping[str, tuple[str, str]] = {
    "home.title": ("概览", "Overview"),
    "home.due": ("到期待发", "Due"),
    "home.oldest": ("最早一条已等待", "The first has waited"),
    "home.sending": ("发送中", "Being sent"),
    "home.unknown": ("结果未知，待处理", "In doubt, to be decided"),
    "home.stopped": ("受阻的队列", "Lanes that stand still"),
    "home.paused": ("暂停与搁置", "Pauses and held jobs"),
    "home.parked_events": ("挂起的钩子事件", "Parked hook events"),
    "home.processes": ("运行中的工作进程", "Worker processes alive"),
    "home.dead": ("24 小时内异常退出", "Died in 24 hours"),
    "home.nothing": ("没有待发的消息。", "Nothing is due."),
    "home.queued": ("排队", "Queued"),
    "home.seconds": ("{count} 秒", "{count} s"),
}
