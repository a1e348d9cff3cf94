"""Options beside a body, and the order in which a body is looked at."""

from typing import Any

import pytest

from tests.unit.simulator.samples import URL, message, mini, news, notice, vote

PLAIN = {
    "text": {"content": "hi"},
    "textcard": {"title": "t", "description": "d", "url": URL},
    "markdown": {"content": "hi"},
}


@pytest.mark.parametrize(
    ("msgtype", "safe", "code", "unlisted"),
    [
        ("text", 1, 0, 0),
        ("text", 2, 40058, 40058),
        ("text", -1, 40058, 40058),
        ("textcard", 1, 0, 40058),
        ("markdown", 1, 0, 40058),
        ("markdown", 0, 0, 0),
    ],
)
def test_safe(vendor: Any, msgtype: str, safe: int, code: int, unlisted: int) -> None:
    """Types that list it take their values; what happens on the others is a setting, by default nothing."""
    body = message(msgtype, PLAIN[msgtype], safe=safe)

    codes = [vendor.send(body)["errcode"]]
    vendor.settings(codes={"unlisted_option": 40058})
    codes.append(vendor.send(body)["errcode"])

    assert [code, unlisted] == codes


def test_a_safe_nobody_lists_has_no_effect(vendor: Any) -> None:
    """It is dropped in silence, and so is id translation."""
    vendor.send(message("markdown", PLAIN["markdown"], safe=1, enable_id_trans=1))
    vendor.send(message("text", PLAIN["text"], safe=1))

    first, second = vendor.inbox("chenmo")
    assert [(one["field"], one["why"]) for one in first["altered"]] == [
        ("safe", "not defined"),
        ("enable_id_trans", "not defined"),
    ]
    assert [first["safe"], second["safe"]] == [0, 1]


def test_safe_news(vendor: Any) -> None:
    """News cannot be safe at all; mpnews may be safe inside the corp only."""
    image = vendor.upload(b"\x89PNG\r\n\x1a\n", "image")["media_id"]
    article = {"title": "t", "thumb_media_id": image, "content": "c"}

    assert vendor.send({**news(), "safe": 1})["errcode"] == 40074
    assert [vendor.send(message("mpnews", {"articles": [article]}, safe=safe))["errcode"] for safe in (2, 3)] == [
        0,
        40058,
    ]


@pytest.mark.parametrize(("name", "code"), [("a.PDF", 0), ("a.xlsx", 0), ("a.zip", 40058), ("pdf", 40058)])
def test_safe_files(vendor: Any, name: str, code: int) -> None:
    """Only files of listed extensions may be safe; the code is a setting."""
    body = message("file", {"media_id": vendor.upload(b"123456", name=name)["media_id"]}, safe=1)

    codes = [vendor.send(body)["errcode"], vendor.send({**body, "safe": 0})["errcode"]]
    vendor.settings(codes={"safe_file": 0})
    codes.append(vendor.send(body)["errcode"])

    assert [code, 0, 0] == codes


@pytest.mark.parametrize(
    ("settings", "body", "before", "after"),
    [
        ({"agentid_string": 40056}, {**message("text", PLAIN["text"]), "agentid": "1"}, 0, 40056),
        ({"notice_agentid": 41011}, {**mini(), "agentid": None}, 0, 41011),
        ({"notice_key": 0}, mini(content_item=[{"value": "v"}]), 90202, 0),
        ({"ascii_width": 1.0}, mini(title="abcd"), 40058, 0),
        ({"ascii_width": 1.0}, mini(title="x" * 13), 0, 40058),
        ({"is_checked": 0}, vote(checkbox={"question_key": "q", "option_list": [{"id": "a", "text": "A"}]}), 40058, 0),
        ({"submit_text": 0}, vote(submit_button={"key": "k"}), 42049, 0),
        ({"url_without_scheme": 45034}, news(url="e.com"), 40094, 45034),
        ({"url_too_long": 40039}, news(url=URL + "x" * 2048), 40058, 40039),
        ({"field_too_long": 90207}, news(appid="wx1", pagepath="x" * 129), 40058, 90207),
        ({"article_appid": 90208}, news(appid="wx1"), 90207, 90208),
        ({"option_value": 0}, message("text", PLAIN["text"], enable_id_trans=5), 40058, 0),
        ({"all_empty": 81012}, {**message("text", PLAIN["text"]), "touser": ""}, 82001, 81012),
        ({"field_too_long": 0}, news(appid="wx1", pagepath="x" * 129), 40058, 0),
        ({"suggested_length": 40058}, notice(main_title={"title": "x" * 37}), 0, 40058),
        ({"escaped_json": "refused"}, b'{"touser": "\\u0061"}', 41011, 40033),
    ],
)
def test_unconfirmed_codes(vendor: Any, settings: dict[str, Any], body: Any, before: int, after: int) -> None:
    """What the vendor left open is a setting; 0 takes the body."""
    found = vendor.send(body)["errcode"]
    vendor.settings(codes=settings)

    assert [before, after] == [found, vendor.send(body)["errcode"]]


def test_mini_programs_must_be_linked(vendor: Any) -> None:
    """Where the app's mini programs are known, messages lead to no others."""
    vendor.settings(apps=[{"corpid": "wwA", "secret": "s", "mini_programs": ["wx1"]}])
    token = vendor.token("wwA", "s")
    stranger = notice(card_action={"type": 2, "appid": "wx2"})

    codes = [vendor.send(body, token=token)["errcode"] for body in (mini(), news(appid="wx1", pagepath="p"))]

    assert codes == [0, 0]
    assert vendor.send(stranger, token=token)["errcode"] == 90206
    assert vendor.send(news(appid="wx2", pagepath="p"), token=token)["errcode"] == 90206


def test_the_order_of_checks(vendor: Any) -> None:
    """A body with several faults draws the code of what is looked at first; the order is a setting."""
    wrong = {"touser": "", "msgtype": "text", "agentid": None, "text": {}, "safe": 3}
    order = ["agent", "msgtype", "options", "body", "recipients"]
    first = []
    for place in range(len(order)):
        vendor.settings(check_order=order[place:] + order[:place])
        first.append(vendor.send(wrong)["errcode"])

    assert first == [41011, 40058, 40058, 44004, 82001]


@pytest.mark.parametrize("order", [["agent", "msgtype", "options", "body"], ["agent"] * 5, ["token"]])
def test_an_order_names_each_check_once(vendor: Any, order: list[str]) -> None:
    """Anything else is no order, and nothing changes."""
    url = f"{vendor.url}/_control/settings"

    assert vendor.session.post(url, json={"check_order": order}, timeout=60).status_code == 400
    assert vendor.send({**message("txt", {}), "agentid": None})["errcode"] == 41011


def test_the_body_of_an_unknown_type(vendor: Any) -> None:
    """It is looked at when its type is, also when bodies come first."""
    vendor.settings(check_order=["body", "agent", "msgtype", "options", "recipients"])

    assert vendor.send(message("txt", {}))["errcode"] == 40008
