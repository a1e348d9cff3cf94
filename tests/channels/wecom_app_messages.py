"""Random valid messages, as the vendor writes them. Knows the vendor's tables and nothing of the channel."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def text(most: int, least: int = 1, alphabet: str = "aZ9 字😀\n<&\"'") -> st.SearchStrategy[str]:
    """Text of at most so many bytes, often right at the limit."""
    some = st.text(alphabet=st.sampled_from(alphabet), min_size=least, max_size=most // 4)
    full = st.sampled_from(["x" * most, "字" * (most // 3), "😀" * (most // 4)])
    return st.one_of(some, full).filter(lambda value: bool(value.strip()))


SHORT = text(60)
URL = st.integers(1, 2030).map(lambda n: "https://e.com/" + "x" * n)
KEY = text(1024, alphabet="abcXYZ_-字")
USER = st.from_regex(r"[0-9A-Za-z_.-]{1,64}", fullmatch=True)
CHINESE = st.integers(4, 12).map(lambda n: "订" * n)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """There, or left out."""
    return st.one_of(st.none(), strategy)


def obj(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object without its empty fields."""
    return st.fixed_dictionaries(fields).map(lambda made: {k: v for k, v in made.items() if v is not None})


def listed(entry: st.SearchStrategy[Any], most: int, least: int = 0) -> st.SearchStrategy[Any]:
    """A list, often as long as it may be."""
    return st.one_of(st.lists(entry, min_size=size, max_size=most) for size in (least, most))


def keyed(entry: st.SearchStrategy[dict[str, Any]], name: str, most: int) -> st.SearchStrategy[Any]:
    """A list whose entries differ in one field, often as long as it may be."""
    return st.one_of(
        st.lists(entry, min_size=size, max_size=most, unique_by=lambda made: made.get(name, id(made)))
        for size in (1, most)
    )


def linked(types: tuple[int, ...] = (0, 1, 2), **more: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with a link of one of the types."""
    made = {
        0: obj(type=st.sampled_from([None, 0]), **more),
        1: obj(type=st.just(1), url=URL, **more),
        2: obj(type=st.just(2), appid=SHORT, pagepath=maybe(SHORT), **more),
    }
    return st.one_of([made[one] for one in types])


FLAG = maybe(st.sampled_from([0, 1]))
ARTICLE = st.one_of(
    obj(title=text(128), description=maybe(text(512)), url=URL, picurl=maybe(URL)),
    obj(title=text(128), appid=SHORT, pagepath=text(128)),
)
MP_ARTICLE = obj(
    title=text(128),
    thumb_media_id=SHORT,
    author=maybe(text(64)),
    content=text(3000),
    digest=maybe(text(512)),
    content_source_url=maybe(URL),
)
ITEM = obj(key=st.text("键k", min_size=1, max_size=10), value=maybe(st.text("值v", max_size=30)))
BODIES = {
    "text": (obj(content=text(2048)), ("safe", "enable_id_trans")),
    "image": (obj(media_id=SHORT), ("safe",)),
    "voice": (obj(media_id=SHORT), ()),
    "video": (obj(media_id=SHORT, title=maybe(text(128)), description=maybe(text(512))), ("safe",)),
    "file": (obj(media_id=SHORT), ("safe",)),
    "textcard": (
        obj(title=text(128), description=text(512), url=URL, btntxt=maybe(st.text("开x", max_size=4))),
        ("enable_id_trans",),
    ),
    "news": (obj(articles=listed(ARTICLE, 8, 1)), ("enable_id_trans",)),
    "mpnews": (obj(articles=listed(MP_ARTICLE, 8, 1)), ("safe", "enable_id_trans")),
    "markdown": (obj(content=text(2048)), ()),
    "miniprogram_notice": (
        obj(
            appid=SHORT,
            page=maybe(text(1024)),
            title=CHINESE,
            description=maybe(CHINESE),
            emphasis_first_item=maybe(st.booleans()),
            content_item=maybe(listed(ITEM, 10)),
        ),
        ("enable_id_trans",),
    ),
}

TITLE = obj(title=SHORT, desc=maybe(SHORT))
SOURCE = obj(icon_url=maybe(URL), desc=maybe(SHORT))
COLOURED = obj(icon_url=maybe(URL), desc=maybe(SHORT), desc_color=maybe(st.integers(0, 3)))
MENU = obj(desc=maybe(SHORT), action_list=keyed(obj(text=SHORT, key=KEY), "key", 3))
LINE = st.one_of(
    obj(type=st.sampled_from([None, 0]), keyname=SHORT, value=maybe(SHORT)),
    obj(type=st.just(1), keyname=SHORT, value=maybe(SHORT), url=URL),
    obj(type=st.just(2), keyname=SHORT, value=maybe(SHORT), media_id=SHORT),
    obj(type=st.just(3), keyname=SHORT, value=maybe(SHORT), userid=USER),
)
OPTION = obj(id=text(128), text=SHORT)
CHECK = obj(id=text(128), text=SHORT, is_checked=st.booleans())
SELECTION = obj(question_key=KEY, title=maybe(SHORT), option_list=keyed(OPTION, "id", 10))
BUTTON = st.one_of(
    obj(type=st.sampled_from([None, 0]), text=SHORT, style=maybe(st.integers(1, 4)), key=KEY),
    obj(type=st.just(1), text=SHORT, url=URL),
)
SUBMIT = obj(text=SHORT, key=KEY)
TASK_ID = maybe(st.from_regex(r"[0-9A-Za-z_@-]{1,116}", fullmatch=True))
COMMON = {"task_id": TASK_ID, "source": maybe(COLOURED), "action_menu": maybe(MENU)}
NOTICE = {
    **COMMON,
    "quote_area": maybe(linked(title=maybe(SHORT), quote_text=maybe(SHORT))),
    "horizontal_content_list": maybe(listed(LINE, 6)),
    "jump_list": maybe(listed(linked(title=SHORT), 3)),
    "card_action": linked((1, 2)),
}
AREA = linked(title=maybe(SHORT), desc=maybe(SHORT), image_url=URL)
IMAGE = obj(url=URL, aspect_ratio=maybe(st.floats(1.3, 2.25, exclude_max=True)))
CARDS = {
    "text_notice": st.one_of(
        obj(**NOTICE, main_title=TITLE, sub_title_text=maybe(SHORT), emphasis_content=maybe(TITLE)),
        obj(**NOTICE, main_title=maybe(obj(desc=maybe(SHORT))), sub_title_text=SHORT),
    ),
    "news_notice": st.one_of(
        obj(**NOTICE, main_title=TITLE, card_image=IMAGE, vertical_content_list=maybe(listed(TITLE, 4))),
        obj(**NOTICE, main_title=TITLE, image_text_area=AREA),
    ),
    "button_interaction": obj(
        **{name: value for name, value in NOTICE.items() if name not in ("jump_list", "card_action")},
        main_title=TITLE,
        sub_title_text=maybe(SHORT),
        card_action=maybe(linked()),
        button_selection=maybe(SELECTION),
        button_list=keyed(BUTTON, "key", 6),
    ),
    "vote_interaction": obj(
        task_id=TASK_ID,
        source=maybe(SOURCE),
        main_title=TITLE,
        checkbox=obj(question_key=KEY, mode=maybe(st.sampled_from([0, 1])), option_list=keyed(CHECK, "id", 20)),
        submit_button=SUBMIT,
    ),
    "multiple_interaction": obj(
        task_id=TASK_ID,
        source=maybe(SOURCE),
        main_title=TITLE,
        select_list=keyed(SELECTION, "question_key", 3),
        submit_button=SUBMIT,
    ),
}


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A valid body of any type, as the vendor writes it."""
    msgtype = draw(st.sampled_from([*BODIES, *CARDS]))
    if msgtype in CARDS:
        return {"msgtype": "template_card", "template_card": {"card_type": msgtype, **draw(CARDS[msgtype])}}
    content, beside = BODIES[msgtype]
    flags = {name: value for name in beside if (value := draw(FLAG)) is not None}
    return {"msgtype": msgtype, msgtype: draw(content), **flags}
