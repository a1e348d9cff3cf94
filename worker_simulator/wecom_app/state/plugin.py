"""The part of a message that the WeChat plugin (微信插件) shows to members who read there (90236).

Does not know recalls: copies in the plugin stay (94867).
"""

from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.texts import cut

HIDDEN = frozenset({"markdown", "template_card", "miniprogram_notice"})
HOME_BYTES = 20


def in_wechat(msgtype: str, content: Json, *, home: bool) -> Json:
    """`same`, `nothing`, and for an app that always opens its home there the start of a text, else a `pointer`."""
    if msgtype in HIDDEN:
        return {"shows": "nothing"}
    if not home:
        return {"shows": "same"}
    if msgtype != "text":
        return {"shows": "pointer"}
    return {"shows": "text", "content": cut(str(content.get("content")), HOME_BYTES, "bytes", "dropped")}
