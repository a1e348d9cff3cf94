"""The first account of each channel, as `worker init` writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstAccount:
    """What `worker init` knows of a channel.

    In texts `{env}` stands for the prefix of the account's variables, `{suite}` and `{edition}` for a remark.
    """

    name: str
    """The account's name, unless another is given."""
    page: str
    """The page of the documentation that says where its values are found."""
    real: str
    """The keys of its table, to be filled in."""
    simulated: str
    """The same for the simulator, without its address."""
    message: str | None = None
    """What follows `worker send ACCOUNT`. None if a first message needs an application's own data."""
    calls_back: bool = False
    """True if it has its own callback, which needs two variables."""
    simulated_secret: str | None = None
    """The secret of the simulator's own app. None accepts any."""


_ID = 'corpid = "ww0000000000000000"\n'
_AGENT = "agentid = 1000002\n"
_SECRET = 'secret = {{ env = "{env}_SECRET" }}\n'
_SUITE = '# suite = "oursuite"      # {suite}\n'
_CALLS = 'callback = {{ token = {{ env = "{env}_CALLBACK_TOKEN" }}, aes_key = {{ env = "{env}_CALLBACK_AES_KEY" }} }}\n'
_TO = "--to zhangsan --text hello"
_ROBOT = f'edition = "robot"     # {{edition}}\n{_SECRET}'
_YOUDU = "buin = 12345678\nappid = "

FIRST_ACCOUNTS: Mapping[str, FirstAccount] = {
    "wecom_app": FirstAccount(
        name="hr",
        page="wecom-app.md",
        real=f"{_ID}{_AGENT}{_SECRET}{_SUITE}# {_CALLS}",
        simulated=f"{_ID}{_AGENT}{_SECRET}{_CALLS}",
        message=_TO,
        calls_back=True,
    ),
    "wecom_external": FirstAccount(
        name="sales",
        page="wecom-external.md",
        real=_ID + _SECRET + _SUITE,
        simulated=_ID + _SECRET,
    ),
    "wecom_webhook": FirstAccount(
        name="alerts",
        page="wecom-webhook.md",
        real=_ROBOT,
        simulated=_ROBOT,
        message="""'{"msgtype": "text", "text": {"content": "hello"}}'""",
    ),
    "youdu": FirstAccount(
        name="oa",
        page="youdu.md",
        real=f'base_url = "http://youdu.example.com:7080"\n{_YOUDU}"yd{"0" * 32}"\n{_SECRET}',
        simulated=f'{_YOUDU}"yd00112233445566778899AABBCCDDEEFF"\n{_SECRET}',
        message=_TO,
        simulated_secret="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    ),
}
"""By channel. The first is the default."""
