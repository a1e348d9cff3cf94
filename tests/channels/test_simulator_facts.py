"""Every row of the vendor's field tables, held against the simulator: presence, length, number, type and code.

Knows the tables and the simulator, and nothing of the channel.
"""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from wecom_app_facts import Fact, card_facts, codes, plain_facts, rows, size

from tests.support.each import each
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.wire.routes import answer

URL = "https://e.com/1"
LINK = {"type": 1, "url": URL}
OPTION = {"id": "a", "text": "A"}
SELECTION = {"question_key": "q", "title": "t", "selected_id": "a", "option_list": [OPTION]}
ARTICLE = {"title": "t", "description": "d", "url": URL, "picurl": URL}
APP_ARTICLE = {"title": "t", "appid": "wx1", "pagepath": "p"}
TITLE = {"main_title": {"title": "t", "desc": "d"}, "task_id": "t1"}
PLAIN_SOURCE = {"icon_url": URL, "desc": "d"}
MENU_CARD = {
    **TITLE,
    "source": {**PLAIN_SOURCE, "desc_color": 1},
    "action_menu": {"desc": "d", "action_list": [{"text": "t", "key": "m"}]},
    "quote_area": {**LINK, "title": "t", "quote_text": "q"},
    "horizontal_content_list": [
        {"keyname": "k", "value": "v"},
        {"type": 1, "keyname": "k", "value": "v", "url": URL},
        {"type": 2, "keyname": "k", "value": "v.txt", "media_id": "m"},
        {"type": 3, "keyname": "k", "value": "v", "userid": "u"},
    ],
}
NOTICE = {
    **MENU_CARD,
    "jump_list": [{**LINK, "title": "t"}, {"type": 2, "title": "t", "appid": "wx1", "pagepath": "p"}],
    "card_action": {"type": 2, "appid": "wx1", "pagepath": "p"},
}
SUBMIT = {"submit_button": {"text": "t", "key": "k"}}
BOX = {"question_key": "q", "mode": 1, "option_list": [{**OPTION, "is_checked": True}]}
PLAIN = {
    "text": {"content": "c"},
    "image": {"media_id": "m"},
    "voice": {"media_id": "m"},
    "video": {"media_id": "m", "title": "t", "description": "d"},
    "file": {"media_id": "m"},
    "textcard": {"title": "t", "description": "d", "url": URL, "btntxt": "b"},
    "news": {"articles": [ARTICLE, APP_ARTICLE]},
    "mpnews": {
        "articles": [
            {
                "title": "t",
                "thumb_media_id": "m",
                "author": "a",
                "content_source_url": URL,
                "content": "c",
                "digest": "d",
            }
        ]
    },
    "markdown": {"content": "c"},
    "miniprogram_notice": {
        "appid": "wx1",
        "page": "p",
        "title": "订单发货",
        "description": "今天送达",
        "emphasis_first_item": True,
        "content_item": [{"key": "k", "value": "v"}],
    },
}
CARDS = {
    "text_notice": {**NOTICE, "emphasis_content": {"title": "t", "desc": "d"}, "sub_title_text": "s"},
    "news_notice": {
        **NOTICE,
        "image_text_area": {**LINK, "title": "t", "desc": "d", "image_url": URL},
        "card_image": {"url": URL, "aspect_ratio": 1.6},
        "vertical_content_list": [{"title": "t", "desc": "d"}],
    },
    "button_interaction": {
        **MENU_CARD,
        "sub_title_text": "s",
        "card_action": LINK,
        "button_selection": SELECTION,
        "button_list": [{"type": 0, "text": "t", "style": 2, "key": "k"}, {"type": 1, "text": "t", "url": URL}],
    },
    "vote_interaction": {**TITLE, "source": PLAIN_SOURCE, "checkbox": BOX, **SUBMIT},
    "multiple_interaction": {**TITLE, "source": PLAIN_SOURCE, "select_list": [SELECTION], **SUBMIT},
}
BODIES = {
    **{name: {"msgtype": name, name: body} for name, body in PLAIN.items()},
    **{
        name: {"msgtype": "template_card", "template_card": {"card_type": name, **card}} for name, card in CARDS.items()
    },
}
"""Every field of every type, by msgtype or card_type."""


def sent(body: dict[str, Any], **codes: int) -> tuple[int, str, list[dict[str, Any]]]:
    """Code and text of the answer to a body, and what people do not see of it; `codes` are settings."""
    known = {kind: [".*"] for kind in ("image", "voice", "video", "file")}
    state = VendorState(SimulatorSettings.model_validate({"media": {"known": known}, "codes": codes}))
    login = json.loads(
        answer(state, HttpRequest("GET", "/cgi-bin/gettoken", {"corpid": "ww1", "corpsecret": "s"}, seq=1)).body
    )
    raw = json.dumps({"touser": "u", "agentid": 1, **body}).encode()
    query = {"access_token": login["access_token"]}
    reply = json.loads(answer(state, HttpRequest("POST", "/cgi-bin/message/send", query, seq=2, body=raw)).body)
    seen = state.inbox.messages_of("u")
    assert bool(seen) is (reply["errcode"] == 0)
    return reply["errcode"], reply["errmsg"], seen[0]["altered"] if seen else []


def holder(place: str, path: str) -> tuple[dict[str, Any], Any, str]:
    """A fresh body, the object in it that holds a path, and the path's last name."""
    body = copy.deepcopy(BODIES[place])
    at: Any = body[body["msgtype"]]
    *above, name = path.removesuffix("[]").split(".")
    for step in above:
        at = at[step.removesuffix("[]")]
        if step.endswith("[]"):
            at = next((entry for entry in at if name in entry), at[0])
    return body, at, name


PLAIN_FACTS = [(fact.place, fact) for fact in plain_facts()]
CARD_FACTS = [
    (card_type, fact)
    for _, facts in card_facts()
    for fact in facts
    for card_type, card in CARDS.items()
    if fact.path == "card_type" or re.split(r"\[|\.", fact.path)[0] in card
    if not (fact.path == "source.desc_color" and card["source"] is PLAIN_SOURCE)
]
FACTS = PLAIN_FACTS + CARD_FACTS


def ids(facts: list[tuple[str, Fact]]) -> list[str]:
    """What a test is about."""
    return [f"{place}.{fact.path}" for place, fact in facts]


@pytest.mark.parametrize("place", list(BODIES))
def test_every_field_is_known(place: str) -> None:
    """A body that has all fields of its type is taken, and shown as it is."""
    assert sent(BODIES[place]) == (0, "ok", [])


def test_every_row_is_tried(capsys: pytest.CaptureFixture[str]) -> None:
    """No path of the tables is missing from the bodies that hold everything."""
    missing = [f"{place}.{fact.path}" for place, fact in FACTS if not held(place, fact)]
    missing = [path for path in missing if not path.endswith(LINKS)]
    homes = {fact.path for _, fact in CARD_FACTS}

    assert missing == []
    assert {fact.path for _, facts in card_facts() for fact in facts} == homes
    with capsys.disabled():
        print(f"\nfield rows held against the simulator: {len(PLAIN_FACTS)} plain, {len(CARD_FACTS)} in cards")


LINKS = ("url", "appid", "pagepath")
"""An object with a type holds one of them; each type is tried by itself."""


def held(place: str, fact: Fact) -> bool:
    """Whether the body of everything has the field."""
    _, at, name = holder(place, fact.path)
    return name in at


@pytest.mark.parametrize("row", rows("card_fields"), ids=lambda row: row["field"])
def test_fields_other_cards_define_mean_nothing(row: dict[str, str]) -> None:
    """Where the table has a dash the field is not shown; where it has R the card is refused without it."""
    name = row["field"].partition(".")[0]
    for card_type in CARDS:
        body = copy.deepcopy(BODIES[card_type])
        card = body["template_card"]
        if row[card_type] == "-":
            card[name] = next(full[name] for full in CARDS.values() if name in full)
            code, _, altered = sent(body)
            assert code == 0
            assert [one["field"] for one in altered] == [f"template_card.{name}"]
        elif row[card_type].startswith("R") and name != row["field"]:
            del card[name][row["field"].partition(".")[2]]
            assert 0 != sent(body)[0]
        elif row[card_type].startswith("R"):
            del card[name]
            assert 0 != sent(body)[0]


MENU_KEY = "action_menu.action_list[].key"
"""Its code is said of a clash only."""
NEEDED = [
    (place, fact)
    for place, fact in FACTS
    if fact.required.startswith("yes") and (place != "button_interaction" or fact.required != "yes for notices")
]


@each(NEEDED)
def test_needed_fields(place: str, fact: Fact) -> None:
    """Without it, or with an empty one, the row's own code is drawn; where it has none, some code is."""
    named = codes(fact.required) or (fact.codes if place in CARDS else frozenset())
    named = frozenset({40058}) if fact.path == MENU_KEY else named
    for empty in (None, {str: "", list: []}.get(fact.type or str)):
        body, at, name = holder(place, fact.path)
        at[name] = empty

        code, _, _ = sent(body)

        assert code in named if named else code


OPTIONAL = [(place, fact) for place, fact in FACTS if re.match(r"no\b(?!.*required)", fact.required)]


@each(OPTIONAL)
def test_fields_that_may_be_left_out(place: str, fact: Fact) -> None:
    """Without it the body is taken."""
    body, at, name = holder(place, fact.path)
    at.pop(name)

    assert sent(body) == (0, "ok", [])


BY_TYPE = [(place, fact) for place, fact in FACTS if fact.required.startswith("if type")]


@each(BY_TYPE)
def test_fields_a_type_needs(place: str, fact: Fact) -> None:
    """An object of the type is refused without the field, with the row's code."""
    body, at, name = holder(place, fact.path)
    at.pop(name, None)
    at["type"] = int(fact.required[-1])

    assert sent(body)[0] in fact.codes


def limit_of(fact: Fact) -> tuple[int, str] | None:
    """The number of a row and its unit; none for advice."""
    if "~" in fact.rule or fact.type is list:
        return None
    kilo = size("K bytes", fact.rule)
    if kilo:
        return kilo * 1024, "bytes"
    for unit in ("Chinese characters", "characters", "bytes"):
        found = size(unit, fact.rule)
        if found:
            return found, unit
    return None


MEASURED = [(place, fact) for place, fact in FACTS if limit_of(fact)]


@each(MEASURED)
def test_lengths(place: str, fact: Fact) -> None:
    """At its limit a text is taken and shown; one beyond, it is cut, or refused with the row's code."""
    limit, unit = limit_of(fact) or (0, "")
    letter = "x" if unit == "bytes" else "字"
    start = "https://" if fact.path.endswith("url") else ""
    for size_, fits in ((limit, True), (limit + 1, False)):
        body, at, name = holder(place, fact.path)
        at[name] = start + letter * (size_ - len(start))

        code, _, altered = sent(body)

        fields = [re.sub(r"\[\d+\]", "[]", one["field"]) for one in altered]
        if fits:
            assert code == 0
            assert f"{body['msgtype']}.{fact.path}" not in fields
        elif fact.effect == "cut":
            (cut,) = altered
            assert code == 0
            assert cut["why"] == "cut"
            assert cut["limit"] == limit
            assert cut["size"] == size_
            assert [f"{body['msgtype']}.{fact.path}"] == fields
        else:
            assert code in (fact.codes if fact.codes and fact.path != MENU_KEY else {40058})


def advised(place: str, fact: Fact) -> int | None:
    """`~36 (vote: ~16)`: what the row suggests for one card."""
    found = re.match(r"~(\d+)(?: \(([a-z, ]+): ~(\d+)\))?", fact.rule)
    if not found:
        return None
    return int(found[3] if found[2] and place.partition("_")[0] in found[2].split(", ") else found[1])


ADVISED = [(place, fact) for place, fact in CARD_FACTS if advised(place, fact)]


@each(ADVISED)
def test_advised_lengths(place: str, fact: Fact) -> None:
    """Longer texts are taken as they are, unless a setting makes advice a limit."""
    most = advised(place, fact) or 0
    found = []
    for length in (most, most + 1):
        body, at, name = holder(place, fact.path)
        at[name] = "字" * length
        found += [sent(body)[0], sent(body, suggested_length=40058)[0]]

    assert found == [0, 0, 0, 40058]


COUNTED = [(place, fact) for place, fact in FACTS if fact.type is list and re.search(r"(to|most) \d+", fact.rule)]


@each(COUNTED)
def test_numbers_of_entries(place: str, fact: Fact) -> None:
    """As many as the row allows are taken; one more draws its code, or 40058 where it has none."""
    most = int(re.findall(r"(?:to|most) (\d+)", fact.rule)[0])
    for count, fits in ((most, True), (most + 1, False)):
        body, at, name = holder(place, fact.path)
        at[name] = [unlike(at[name][0], number) for number in range(count)]

        code = sent(body)[0]

        assert code == 0 if fits else code in (fact.codes or {40058})


def unlike(entry: dict[str, Any], number: int) -> dict[str, Any]:
    """The entry with ids of its own."""
    return {**entry, **{name: f"{entry[name]}{number}" for name in ("id", "key", "question_key") if name in entry}}


UNIQUE = [(place, fact) for place, fact in FACTS if "unique" in fact.rule and fact.path != "task_id"]


@each(UNIQUE)
def test_ids_that_must_differ(place: str, fact: Fact) -> None:
    """Two entries with one id are refused with the row's code."""
    above = fact.path.rpartition("[].")[0]
    body, at, name = holder(place, above)
    at[name] = at[name][:1] * 2

    assert sent(body)[0] in fact.codes


TYPED = [(place, fact) for place, fact in FACTS if fact.path != "card_type" and held(place, fact)]


@each(TYPED)
def test_values_of_another_type(place: str, fact: Fact) -> None:
    """Whatever comes of it, the answer warns; card_type is compared, not read."""
    body, at, name = holder(place, fact.path)
    at[name] = "5" if fact.type in (int, float, list, bool) else 5

    _, errmsg, _ = sent(body)

    assert "Warning: wrong json format." in errmsg
