"""The words around every page: bar, navigation, choices, errors, and what several pages say."""

from __future__ import annotations

from collections.abc import Mapping

FRAME: Mapping[str, tuple[str, str]] = {
    "frame.name": ("投递控制台", "Delivery console"),
    "frame.skip": ("跳到正文", "Skip to the content"),
    "frame.nav": ("导航", "Navigation"),
    "frame.lang": ("English", "中文"),
    "frame.theme": ("外观", "Theme"),
    "frame.theme.auto": ("跟随系统", "As the system"),
    "frame.theme.light": ("浅色", "Light"),
    "frame.theme.dark": ("深色", "Dark"),
    "frame.sign_out": ("退出登录", "Sign out"),
    "frame.role.reader": ("只读", "reader"),
    "frame.role.support": ("客服", "support"),
    "frame.role.operator": ("运维", "operator"),
    "frame.role.admin": ("管理员", "admin"),
    "frame.utc": ("时间均为 UTC", "Times are UTC"),
    "frame.withheld": ("您没有查看正文的权限", "You may not read this text"),
    "error.back": ("回到首页", "Back to the start"),
    "error.400.title": ("请求无法处理", "This request makes no sense"),
    "error.400.text": ("请返回上一页，检查填写的内容后重试。", "Go back, check what was filled in, and try again."),
    "error.403.title": ("没有权限", "Not allowed"),
    "error.403.text": (
        "您的角色不能执行此操作，或者页面已过期。请返回后重试；如需权限，请联系管理员。",
        "Your role does not allow this, or the page has expired. Go back and try again, or ask an administrator.",
    ),
    "error.404.title": ("没有这个页面", "There is no such page"),
    "error.404.text": (
        "链接可能有误，或者记录已过保留期被清除。",
        "The link may be wrong, or what it led to is older than the retention and was deleted.",
    ),
    "error.405.title": ("不支持的请求方式", "Not with this method"),
    "error.405.text": ("请从页面上的按钮操作。", "Use the buttons of the pages."),
    "error.413.title": ("内容过大", "Too large"),
    "error.413.text": ("提交的内容超出上限，请减少后重试。", "What was sent is over the limit; send less at a time."),
    "error.500.title": ("服务出错", "Something went wrong here"),
    "error.500.text": (
        "此页面出错，原因已写入日志。请稍后重试。",
        "This page failed; the cause is in the log. Try again in a moment.",
    ),
    "error.503.title": ("暂时无法响应", "No answer at the moment"),
    "error.503.text": (
        "数据库没有响应，或者请求过多。请稍后重试；消息投递不受控制台影响。",
        "The database does not answer, or too many ask at once. Try again in a moment; deliveries do not depend on it.",
    ),
}
