"""Random valid webhook messages, as the vendor writes them. Knows the vendor's tables and nothing of the channel."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from hypothesis import strategies as st
from wecom_app_messages import SHORT, URL, USER, linked, listed, maybe, obj, text

PLAIN = "aZ9 字😀\n&\"'"
COLOUR = st.from_regex(r"#[0-9A-F]{6}", fullmatch=True)
CHAT = st.from_regex(r"wr[0-9A-Za-z]{1,20}", fullmatch=True).filter(
    lambda chat: not chat.lower().startswith(("wrghost", "wrclosed", "wrforeign"))
)
ACTION = obj(
    type=st.just("button"),
    name=text(64),
    text=text(128),
    value=text(128),
    replace_text=text(128),
    border_color=maybe(COLOUR),
    text_color=maybe(COLOUR),
)
ATTACHMENTS = st.lists(obj(actions=listed(ACTION, 20, 1)), min_size=1, max_size=2)
MENTIONS = st.lists(st.one_of(USER, st.just("@all")), max_size=4)
PHONES = st.lists(st.one_of(st.from_regex(r"1[0-9]{10}", fullmatch=True), st.just("@all")), max_size=3)
ARTICLE = obj(title=text(128), description=maybe(text(512)), url=URL, picurl=maybe(URL))


def _picture(content: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(content).decode(), "md5": hashlib.md5(content).hexdigest()}


PICTURE = st.tuples(st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]), st.binary(min_size=3, max_size=200)).map(
    lambda made: _picture(made[0] + made[1])
)
BODIES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "text": obj(content=text(2048), mentioned_list=maybe(MENTIONS), mentioned_mobile_list=maybe(PHONES)),
    "markdown": obj(content=text(4096), at_short_name=maybe(st.booleans()), attachments=maybe(ATTACHMENTS)),
    "markdown_v2": obj(content=text(4096, alphabet=PLAIN)),
    "image": PICTURE,
    "news": obj(articles=listed(ARTICLE, 8, 1)),
    "miniprogram": obj(title=text(64), pic_media_id=SHORT, appid=SHORT, page=SHORT),
    "file": obj(media_id=SHORT),
    "voice": obj(media_id=SHORT),
}
"""By msgtype, as message push takes them."""

HORIZONTAL = st.one_of(
    obj(keyname=SHORT, value=maybe(SHORT)),
    obj(type=st.just(1), keyname=SHORT, value=maybe(SHORT), url=URL),
    obj(type=st.just(2), keyname=SHORT, value=SHORT, media_id=SHORT),
    obj(type=st.just(3), keyname=SHORT, userid=USER),
)
COMMON = {
    "source": maybe(obj(icon_url=maybe(URL), desc=maybe(SHORT), desc_color=maybe(st.sampled_from([0, 1, 2, 3])))),
    "quote_area": maybe(linked(title=maybe(SHORT), quote_text=maybe(SHORT))),
    "horizontal_content_list": maybe(listed(HORIZONTAL, 6)),
    "jump_list": maybe(listed(linked(title=SHORT), 3)),
    "card_action": linked((1, 2)),
}
CARDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "text_notice": obj(
        **COMMON,
        main_title=obj(title=SHORT, desc=maybe(SHORT)),
        emphasis_content=maybe(obj(title=maybe(SHORT), desc=maybe(SHORT))),
        sub_title_text=maybe(SHORT),
    ),
    "news_notice": obj(
        **COMMON,
        main_title=obj(title=SHORT, desc=maybe(SHORT)),
        card_image=obj(url=URL, aspect_ratio=maybe(st.sampled_from([1.3, 2, 2.24]))),
        image_text_area=maybe(linked(title=maybe(SHORT), desc=maybe(SHORT), image_url=URL)),
        vertical_content_list=maybe(listed(obj(title=SHORT, desc=maybe(SHORT)), 4)),
    ),
}


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A valid body without an address."""
    name = draw(st.sampled_from([*BODIES, *CARDS]))
    if name in CARDS:
        return {"msgtype": "template_card", "template_card": {"card_type": name, **draw(CARDS[name])}}
    return {"msgtype": name, name: draw(BODIES[name])}
