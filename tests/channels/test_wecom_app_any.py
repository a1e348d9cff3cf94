"""Promises that hold for every message and every answer, tried on random ones."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wecom_app_facts import Fact, card_facts, plain_facts, size
from wecom_app_samples import CHANNEL, account, draft, part, sent

from worker.channels.wecom_app import message_from_json, message_to_json
from worker.channels.wecom_app.card import CARD_CLASSES
from worker.channels.wecom_app.reading import PLAIN
from worker.delivery.counting import Share, shares
from worker.domain.call import Reply
from worker.domain.outcome import Accepted, Partial, Rejected
from worker.domain.recipient import To
from worker.domain.state import PartState

QUICK = settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])


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


def keyed(entry: st.SearchStrategy[dict[str, Any]], name: str, most: int, least: int = 1) -> st.SearchStrategy[Any]:
    """A list whose entries differ in one field."""
    return st.lists(entry, min_size=least, max_size=most, unique_by=lambda made: made.get(name, id(made)))


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
    "news": (obj(articles=st.lists(ARTICLE, min_size=1, max_size=8)), ("enable_id_trans",)),
    "mpnews": (obj(articles=st.lists(MP_ARTICLE, min_size=1, max_size=8)), ("safe", "enable_id_trans")),
    "markdown": (obj(content=text(2048)), ()),
    "miniprogram_notice": (
        obj(
            appid=SHORT,
            page=maybe(text(1024)),
            title=CHINESE,
            description=maybe(CHINESE),
            emphasis_first_item=maybe(st.booleans()),
            content_item=maybe(st.lists(ITEM, max_size=10)),
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
    "horizontal_content_list": maybe(st.lists(LINE, max_size=6)),
    "jump_list": maybe(st.lists(linked(title=SHORT), max_size=3)),
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
        obj(**NOTICE, main_title=TITLE, card_image=IMAGE, vertical_content_list=maybe(st.lists(TITLE, max_size=4))),
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


def test_every_type_is_tried():
    """The generators know what the channel knows."""
    assert (set(PLAIN), set(CARD_CLASSES)) == (set(BODIES), set(CARDS))


@QUICK
@given(bodies(), st.sets(USER.map(str.lower), min_size=1, max_size=30), st.booleans())
def test_valid_messages_pass_and_go_out_within_all_limits(body: dict[str, Any], users: set[str], flagged: bool):
    """Whatever is valid by the vendor's tables passes the check, and is within those tables on the wire."""
    document = message_from_json(body).document()
    asked = draft(document, To(users))

    assert [] == CHANNEL.check(asked)
    CHANNEL.warnings(asked)
    for spec in CHANNEL.split(asked):
        made = part(document, spec)
        out = sent(CHANNEL.request(made, account(), "t", flagged=flagged))
        assert_within_limits(out)
        assert {name: out[body["msgtype"]][name] for name in body[body["msgtype"]]} == body[body["msgtype"]]


@QUICK
@given(bodies())
def test_messages_survive_json(body: dict[str, Any]):
    """Out as JSON and in again is the same message."""
    message = message_from_json(body)

    assert message == message_from_json(json.dumps(message_to_json(message)))


PLAIN_LIMITS = plain_facts()
CARD_LIMITS = [fact for _, facts in card_facts() for fact in facts]


def assert_within_limits(out: dict[str, Any]) -> None:
    """Measures what is on the wire by the vendor's tables alone."""
    msgtype = out["msgtype"]
    facts = CARD_LIMITS if msgtype == "template_card" else [fact for fact in PLAIN_LIMITS if fact.place == msgtype]
    for fact in facts:
        for value in values(out[msgtype], fact.path.split(".")):
            assert_within(fact, value)


def values(tree: Any, steps: list[str]) -> list[Any]:
    """Everything that stands at a path; a path that ends in a list's brackets is the list itself."""
    if not steps:
        return [tree]
    name = steps[0].removesuffix("[]")
    if not isinstance(tree, dict) or name not in tree:
        return []
    if steps[0].endswith("[]") and len(steps) > 1:
        return [found for entry in tree[name] for found in values(entry, steps[1:])]
    return values(tree[name], steps[1:])


def assert_within(fact: Fact, value: Any) -> None:
    """One value against one row."""
    if isinstance(value, list):
        most = re.search(r"(?:1 to |at most )(\d+)", fact.rule)
        assert most is None or len(value) <= int(most[1]), fact
    elif isinstance(value, str) and "~" not in fact.rule:
        kilo, plain = size("K bytes", fact.rule), size("bytes", fact.rule)
        characters, chinese = size("characters", fact.rule), size("Chinese characters", fact.rule)
        limit = kilo * 1024 if kilo else plain
        assert limit is None or len(value.encode()) <= limit, fact
        assert characters is None or len(value) <= characters, fact
        assert chinese is None or len(value) <= chinese, fact


IDS = st.lists(st.from_regex(r"[a-z0-9]{1,3}", fullmatch=True), max_size=6)
NUMBERS = st.lists(st.integers(1, 40), max_size=5)
JOINED = st.one_of(st.none(), st.just(""), IDS.map("|".join), IDS, st.integers(), st.booleans(), st.just({}))
CODES = st.one_of(
    st.sampled_from([0, 0, 0, 81013, 40003, -1, 45009, 42001, 60020, 42014, 999999]), st.integers(-2, 100000)
)


@QUICK
@given(
    IDS,
    NUMBERS,
    NUMBERS,
    CODES,
    st.fixed_dictionaries(dict.fromkeys(("invaliduser", "invalidparty", "invalidtag", "unlicenseduser"), JOINED)),
    st.booleans(),
)
def test_nobody_is_lost_or_counted_twice(users, parties, tags, errcode, lists, in_doubt):
    """Whatever the vendor answers: accepted + refused + undetermined + not sent + not yet = asked."""
    asked = To(users, parties, tags)
    reply = Reply(200, {}, json.dumps({"errcode": errcode, "errmsg": "x", "msgid": "m", **lists}).encode())
    made = part(spec=asked.to_json(), in_doubt=in_doubt)

    outcome = CHANNEL.outcome(made, account(), reply).outcome

    refused = [
        {"part_id": made.id, "kind": one.kind, "recipient_key": one.recipient.lower()}
        for one in getattr(outcome, "refusals", ())
    ]
    named = [(one["kind"], one["recipient_key"]) for one in refused]
    assert len(set(named)) == len(named)
    row = {"id": made.id, "spec": json.dumps(asked.to_json()), "state": int(state_of(outcome)), "doubts": int(in_doubt)}
    found = shares(asked, False, [{**row, "first_marked_at": 1}], refused)
    assert asked.count() == sum(len(ids) for ids in found.values())
    if isinstance(outcome, Partial):
        assert asked.count() == len(found[Share.ACCEPTED]) + len(found[Share.REFUSED])
        assert len(refused) == len(found[Share.REFUSED])


def state_of(outcome: Any) -> PartState:
    """The state a part ends in by this outcome alone."""
    match outcome:
        case Accepted():
            return PartState.ACCEPTED
        case Partial():
            return PartState.PARTIAL
        case Rejected():
            return PartState.REJECTED
    return PartState.UNKNOWN
