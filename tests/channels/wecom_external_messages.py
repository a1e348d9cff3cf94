"""Random valid campaigns, as the vendor writes them. Knows the vendor's tables and nothing of the channel."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from wecom_app_messages import SHORT, URL, maybe, obj, text

ATTACHED = {
    "image": st.one_of(obj(media_id=SHORT), st.just({"pic_url": "http://p.qpic.cn/pic_wework/1/0"})),
    "link": obj(title=text(128), picurl=maybe(URL), desc=maybe(text(512)), url=URL),
    "miniprogram": obj(title=text(64), pic_media_id=SHORT, appid=SHORT, page=SHORT),
    "video": obj(media_id=SHORT),
    "file": obj(media_id=SHORT),
}


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A valid body, as the vendor writes it."""
    types = draw(st.lists(st.sampled_from(list(ATTACHED)), max_size=9))
    attachments = [{"msgtype": one, one: draw(ATTACHED[one])} for one in types]
    said = draw(text(4000) if not attachments else maybe(text(4000)))
    choice = draw(maybe(st.booleans()))
    return {
        **({"text": {"content": said}} if said else {}),
        **({"attachments": attachments} if attachments else {}),
        **({} if choice is None else {"allow_select": choice}),
    }
