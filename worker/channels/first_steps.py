"""The first account of each channel: its table, and where in the vendor's console each value is found, in order.

A menu stands with the name that the console has in Chinese; the English names differ a little between its versions.
They are as the guides of other products print them from the console (Dify, FanRuan, Tencent Cloud, NocoBase; read
2026-11-25); of the list of apps under Customer Contact none has the English name, so it is ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from worker.language import Lang

WECOM_CONSOLE = "https://work.weixin.qq.com/wework_admin/"


@dataclass(frozen=True, slots=True)
class ConsoleStep:
    """One value, or one thing to be set in the console."""

    key: str
    """The key of the settings, or the variable (`{env}`: the account's prefix); empty: a thing to be done there."""
    en: str
    zh: str

    def told(self, lang: Lang, account: str, env: str) -> str:
        """The step in a sentence."""
        text = {"en": self.en, "zh": self.zh}[lang].format(account=account)
        gap = {"en": ": ", "zh": "："}[lang]
        return f"{self.key.format(env=env)}{gap}{text}" if self.key else text


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAccount:
    """What `worker init` knows of a channel. In texts `{env}` stands for the prefix of the account's variables."""

    name: str
    """The account's name, unless another is given."""
    console: Mapping[Lang, str]
    steps: Sequence[ConsoleStep]
    real: str
    """The keys of its table, to be filled in."""
    simulated: str
    """The same for the simulator, whose address is the rest of it."""
    message: str | None = None
    """What follows `worker send ACCOUNT`; None: no first message goes without an application's own data."""
    calls_back: bool = False
    """It has a callback of its own, whose two variables it needs."""
    simulated_secret: str | None = None
    """The secret of the simulator's own app; None: any."""


_CORPID = ConsoleStep(
    "corpid",
    "My Company > Company Information, at the bottom: Company ID (我的企业 > 企业信息 > 企业ID)",
    "我的企业 > 企业信息，页面最下方的“企业ID”",
)
_APP = "App Management > Apps > Self-built > your app (应用管理 > 应用 > 自建 > 该应用)"
_VISIBLE = ConsoleStep(
    "",
    "Allowed users (可见范围) on the app's page: add the members, departments and tags that it may write to;"
    " all others are refused (81013, or listed as invalid)",
    "应用页面的“可见范围”：加入要接收消息的成员、部门、标签；范围之外一律发不到（81013，或出现在 invaliduser 中）",
)
_TRUSTED = ConsoleStep(
    "",
    "Company's Trusted IP (企业可信IP) at the bottom of the app's page: add the address that `worker doctor --online`"
    " tells. The page takes one only when the app has a trusted domain (可信域名, under Web Authorization and JS-SDK,"
    " 网页授权及JS-SDK) or a callback address (接收消息服务器URL, the next step)",
    "应用页面最下方的“企业可信IP”：填入 `worker doctor --online` 报出的地址。须先设置可信域名（网页授权及JS-SDK）"
    "或接收消息服务器URL（下一步），否则无法填写",
)
_CALLBACK = ConsoleStep(
    "{env}_CALLBACK_TOKEN, {env}_CALLBACK_AES_KEY",
    "Receive messages > Set to receive messages via API (接收消息 > 设置API接收): let it make Token and EncodingAESKey,"
    " write both into .env and take the # from callback and public_url in worker.toml; start `worker receiver`; type"
    " its address, PUBLIC_URL/callback/{account}, and save, which asks the receiver. Without buttons on cards it is not"
    " needed",
    "接收消息 > 设置API接收：随机生成 Token 和 EncodingAESKey，写入 .env，并去掉 worker.toml 中 callback 与 public_url"
    " 前的 #；先启动 `worker receiver`，再填写 URL（public_url 加 /callback/{account}）并保存，保存时企业微信会来验证。"
    "卡片不带按钮则不需要",
)

_ID = 'corpid = "ww0000000000000000"\n'
_AGENT = "agentid = 1000002\n"
_SECRET = 'secret = {{ env = "{env}_SECRET" }}\n'
_SUITE = '# suite = "oursuite"      # of a provider\'s app, in place of secret: docs/wecom-suite.md\n'
_CALLS = 'callback = {{ token = {{ env = "{env}_CALLBACK_TOKEN" }}, aes_key = {{ env = "{env}_CALLBACK_AES_KEY" }} }}\n'
_TO = "--to zhangsan --text hello"
_WECOM: Mapping[Lang, str] = {"en": f"the admin console, {WECOM_CONSOLE}", "zh": f"管理后台 {WECOM_CONSOLE}"}
_ROBOT = f'edition = "robot"     # or "push": message push, whose chats are named by their ids\n{_SECRET}'
_YOUDU = "buin = 12345678\nappid = "

FIRST_ACCOUNTS: Mapping[str, FirstAccount] = {
    "wecom_app": FirstAccount(
        name="hr",
        console=_WECOM,
        steps=(
            _CORPID,
            ConsoleStep(
                "agentid", f"{_APP}: AgentId", "应用管理 > 应用 > 自建 > 该应用：AgentId（没有应用则先“创建应用”）"
            ),
            ConsoleStep(
                "{env}_SECRET",
                "the same page: Secret > View (查看) sends it to your WeCom",
                "同一页面：Secret > 查看，会发送到你的企业微信",
            ),
            _VISIBLE,
            _TRUSTED,
            _CALLBACK,
        ),
        real=f"{_ID}{_AGENT}{_SECRET}{_SUITE}# {_CALLS}",
        simulated=f"{_ID}{_AGENT}{_SECRET}{_CALLS}",
        message=_TO,
        calls_back=True,
    ),
    "wecom_external": FirstAccount(
        name="sales",
        console=_WECOM,
        steps=(
            _CORPID,
            ConsoleStep(
                "{env}_SECRET",
                f"{_APP}: Secret. The app must also be among Customer Contact > Customers > API > apps that may call"
                " (客户联系 > 客户 > API > 可调用接口的应用)",
                "应用管理 > 应用 > 自建 > 该应用：Secret；并在 客户联系 > 客户 > API > 可调用接口的应用 中勾选该应用",
            ),
            _VISIBLE,
            _TRUSTED,
        ),
        real=_ID + _SECRET + _SUITE,
        simulated=_ID + _SECRET,
    ),
    "wecom_webhook": FirstAccount(
        name="alerts",
        console={"en": "the group chat in WeCom", "zh": "企业微信群聊"},
        steps=(
            ConsoleStep(
                "{env}_SECRET",
                "the group's menu > Message Push (消息推送, before: 群机器人) > Custom Message Push: of the"
                " address that it shows, what stands behind key=",
                "群聊右上角菜单 > 消息推送（原群机器人）> 添加：Webhook 地址中 key= 之后的部分",
            ),
        ),
        real=_ROBOT,
        simulated=_ROBOT,
        message="""'{"msgtype": "text", "text": {"content": "hello"}}'""",
    ),
    "youdu": FirstAccount(
        name="oa",
        console={"en": "the server's admin console (port 7003)", "zh": "有度管理后台（端口 7003）"},
        steps=(
            ConsoleStep(
                "base_url", "the address of your server, http://HOST:7080", "有度服务器的地址 http://主机:7080"
            ),
            ConsoleStep(
                "buin", "My enterprise > Enterprise info (我的企业 > 企业信息): 总机号", "我的企业 > 企业信息：总机号"
            ),
            ConsoleStep("appid", "Enterprise apps > your app (企业应用 > 该应用): AppId", "企业应用 > 该应用：AppId"),
            ConsoleStep("{env}_SECRET", "the same page: EncodingAesKey", "同一页面：EncodingAesKey"),
        ),
        real=f'base_url = "http://youdu.example.com:7080"\n{_YOUDU}"yd{"0" * 32}"\n{_SECRET}',
        simulated=f'{_YOUDU}"yd00112233445566778899AABBCCDDEEFF"\n{_SECRET}',
        message=_TO,
        simulated_secret="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    ),
}
"""By channel; the first is meant where none is named."""
