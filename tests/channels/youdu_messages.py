"""Random valid messages, as the vendor writes them. Knows the vendor's tables and nothing of the channel."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st


def units(text: str) -> int:
    """Length in units of UTF-16."""
    return len(text.encode("utf-16-le")) // 2


def text(most: int) -> st.SearchStrategy[str]:
    """Text of at most so many characters, often right at the limit."""
    some = st.text(alphabet=st.sampled_from("aZ9 字😀\n<&\"'"), min_size=1, max_size=min(most // 2, 40))
    full = st.sampled_from(["x" * most, "字" * most, "😀" * (most // 2)])
    return st.one_of(some, full).filter(lambda value: bool(value.strip()) and units(value) <= most)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """There, or left out."""
    return st.one_of(st.none(), strategy)


def obj(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object without its empty fields."""
    return st.fixed_dictionaries(fields).map(lambda made: {k: v for k, v in made.items() if v is not None})


def listed(entry: st.SearchStrategy[Any], most: int) -> st.SearchStrategy[Any]:
    """A list, often as long as it may be."""
    return st.one_of(st.lists(entry, min_size=size, max_size=most) for size in (1, most))


SHORT = text(40)
MEDIA = st.from_regex(r"[0-9a-f]{32}-[1-9][0-9]{0,5}", fullmatch=True)
URL = st.integers(1, 200).map(lambda n: "https://e.com/" + "x" * n)
LOGIN = st.integers(1, 200).map(lambda n: "https://oa.example.test/" + "x" * n)
NUMBER = st.integers(0, 10**6)
ACCOUNT = st.from_regex(r"[0-9a-z_.@+-]{1,60}|[张李王三四五]{2,4}", fullmatch=True).map(str.lower)
LINK = st.one_of(
    obj(title=text(64), url=URL, action=st.sampled_from([None, 0])), obj(title=text(64), url=LOGIN, action=st.just(1))
)
BODIES: dict[str, st.SearchStrategy[Any]] = {
    "text": obj(content=text(600)),
    "image": obj(media_id=MEDIA),
    "file": obj(media_id=MEDIA),
    "mpnews": listed(
        obj(
            title=text(64),
            media_id=MEDIA,
            content=text(600),
            digest=maybe(text(120)),
            showFront=maybe(st.sampled_from([0, 1])),
            url=maybe(URL),
        ),
        5,
    ),
    "link": LINK,
    "exlink": listed(
        obj(
            title=text(64),
            url=URL,
            media_id=st.one_of(MEDIA, st.just("")),
            digest=maybe(text(120)),
            link_type=maybe(NUMBER),
            date_hide=maybe(NUMBER),
            tail_hide=maybe(NUMBER),
            subtitle=maybe(SHORT),
            link_desc=maybe(SHORT),
        ),
        5,
    ),
    "sysMsg": obj(
        title=text(64),
        popDuration=maybe(st.integers(-5, 60)),
        msg=listed(st.one_of(obj(text=obj(content=text(600))), obj(link=LINK)), 6),
    ),
    "sms": st.fixed_dictionaries({"from": st.from_regex(r"1[0-9]{10}", fullmatch=True), "content": text(600)}),
    "mail": st.one_of(
        obj(
            action=st.just("new"),
            subject=maybe(st.one_of(st.just(""), SHORT)),
            fromUser=maybe(ACCOUNT),
            time=maybe(st.integers(1, 4 * 10**9)),
            link=maybe(URL),
        ),
        obj(action=st.just("new"), fromEmail=st.just("a@b.test")),
        obj(action=st.just("unread"), unreadCount=maybe(NUMBER), time=maybe(st.integers(1, 4 * 10**9))),
    ),
}


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A valid body of any type, as the vendor writes it."""
    msgtype = draw(st.sampled_from(list(BODIES)))
    return {"msgType": msgtype, msgtype: draw(BODIES[msgtype])}


WINDOWS = st.one_of(
    obj(
        url=URL,
        title=maybe(SHORT),
        width=maybe(NUMBER),
        height=maybe(NUMBER),
        duration=maybe(st.integers(-1, 600)),
        position=maybe(st.integers(0, 4)),
        pop_mode=maybe(st.integers(0, 9)),
        notice_id=maybe(SHORT),
    ),
    obj(tip=SHORT, notice_id=maybe(st.just(""))),
)
