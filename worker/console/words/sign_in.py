"""The words of signing in."""

from __future__ import annotations

from collections.abc import Mapping

SIGN_IN: Mapping[str, tuple[str, str]] = {
    "sign_in.title": ("登录", "Sign in"),
    "sign_in.name": ("用户名", "Name"),
    "sign_in.password": ("密码", "Password"),
    "sign_in.enter": ("登录", "Sign in"),
    "sign_in.by_provider": ("使用统一身份认证登录", "Sign in with your organisation"),
    "sign_in.by_link": (
        "请打开 worker console 启动时打印的登录链接。链接只能使用一次，重新启动后会生成新的链接。",
        "Open the link that was printed when the console started. It works once; a restart prints a new one.",
    ),
    "sign_in.by_proxy": (
        "请通过贵公司的统一入口访问；如已通过该入口进入，说明您还没有被授权，请联系管理员。",
        "Come in through your organisation's own entrance; if you did, you have no access yet: ask an administrator.",
    ),
    "sign_in.wrong": ("用户名或密码不正确。", "The name or the password is wrong."),
    "sign_in.too_many": (
        "尝试次数过多，请 15 分钟后再试。",
        "That was tried too often. Try again in 15 minutes.",
    ),
    "sign_in.link_used": ("登录链接无效或已使用。", "This link is wrong, or was used already."),
    "sign_in.provider_away": (
        "身份认证服务暂时无法访问，请稍后重试。",
        "The identity provider cannot be reached. Try again in a moment.",
    ),
    "sign_in.not_vouched_for": (
        "身份认证没有完成，请重新登录。",
        "The identity provider did not confirm who you are. Sign in again.",
    ),
    "sign_in.not_a_user": (
        "身份已确认，但您还没有被授权使用控制台，请联系管理员。",
        "You are known, but have no access to the console yet. Ask an administrator.",
    ),
}
