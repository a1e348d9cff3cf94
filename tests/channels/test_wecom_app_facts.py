"""Every row of the vendor's field tables is a row of ours, which stands with the field of the typed message."""

from __future__ import annotations

import re

import pytest
from wecom_app_facts import Fact, card_facts, plain_facts, rows, size

from tests.support.each import each
from worker.channels.checking.row import AllOrNone, AnyOf, Effect, FieldRule
from worker.channels.wecom.upload import UPLOADS
from worker.channels.wecom_app import cards, check

CARDS = cards.CARD_TYPES


def rules_at(table, path: str) -> list[FieldRule]:
    """Our rows of a path; the object itself where the path ends in a list's brackets."""
    return [row for row in table if isinstance(row, FieldRule) and row.path == path.removesuffix("[]")]


def hold(fact: Fact, rule: FieldRule, table) -> None:
    """Type, need, limit, unit, effect and codes of a fact stand in the rule."""
    where = f"{fact.place}.{fact.path}"
    related = [row for row in table if isinstance(row, AnyOf | AllOrNone) and row.at == fact.path.rpartition(".")[0]]
    known = set(rule.codes) | {row.code for row in related if fact.path.rpartition(".")[2] in row.names}
    assert fact.type is rule.type, where
    assert fact.codes <= known, (where, fact.codes, known)
    if fact.required.startswith("yes") and fact.path != "card_action.type":
        assert rule.required, where
    if fact.required.startswith("if type"):
        assert ("type", int(fact.required[-1])) == rule.when, where
    if fact.required.startswith("no") and "required" not in fact.required:
        assert not rule.required, where
    if "unique" in fact.rule and fact.path != "task_id":
        assert rule.unique, where
    if "http://" in fact.rule or "with scheme" in fact.rule:
        assert rule.link, where
    hold_limit(fact, rule, where)


def hold_limit(fact: Fact, rule: FieldRule, where: str) -> None:
    """The number, its unit and what happens beyond it."""
    limits = {
        "bytes": (size("bytes", fact.rule), rule.max_bytes),
        "K bytes": ((size("K bytes", fact.rule) or 0) * 1024 or None, rule.max_bytes),
        "characters": (size(r"(?:\*\*)?characters", fact.rule), rule.max_chars or rule.max_bytes),
        "Chinese": (size("Chinese characters", fact.rule), rule.chinese and rule.chinese[1]),
    }
    for unit, (published, ours) in limits.items():
        if published is not None and not fact.rule.startswith("~"):
            room = cards.TASK_ID_ROOM if fact.path == "task_id" else 0
            assert published == (ours or 0) + room, (where, unit)
    if (
        most := re.search(r"(?:1 to |at most )(\d+)$|1 to (\d+)(?= \(|;)|at most (\d+) \(", fact.rule)
    ) and fact.type is list:
        assert int(next(filter(None, most.groups()))) == (rule.entries or (0, 0))[1], where
    if fact.type is not list and any(published for published, _ in limits.values()) and fact.effect != "adv":
        assert Effect(fact.effect) is rule.effect, where


@each((fact,) for fact in plain_facts())
def test_every_plain_row_is_ours(fact: Fact):
    """Path, type, need, limit, unit, effect and code of each row."""
    table = check.BODIES[fact.place]

    (rule,) = rules_at(table, fact.path)

    hold(fact, rule, table)


@pytest.mark.parametrize("fact", [f for f in plain_facts() if f.place == "textcard"], ids=lambda fact: fact.path)
def test_the_textcard_by_characters(fact: Fact):
    """The same limits as characters, for an account that trusts the page of 2026."""
    (rule,) = rules_at(check.TEXTCARD_BY_CHARACTERS, fact.path)

    assert size("characters", fact.rule) == rule.max_chars


def advised(fact: Fact, card_type: str) -> int | None:
    """`~36 (vote: ~16)`: what the row suggests for one card."""
    short = card_type.partition("_")[0]
    found = re.match(r"~(\d+)(?: \(([a-z, ]+): ~(\d+)\))?", fact.rule)
    if not found:
        return None
    return int(found[3] if found[2] and short in found[2].split(", ") else found[1])


@each(card_facts())
def test_every_card_row_is_ours(written: str, facts: list[Fact]):
    """In every card that has the field, with its advised length."""
    assert facts
    for fact in facts:
        homes = [name for name in CARDS if rules_at(cards.CARDS[name], fact.path)]
        assert homes, fact.path
        for card_type in homes:
            table = cards.CARDS[card_type]
            for rule in rules_at(table, fact.path):
                if "see 2.4" not in fact.required and fact.required != "as quote_area":
                    hold(fact, rule, table)
                assert advised(fact, card_type) == rule.advised, (card_type, fact.path)
                assert fact.codes <= rule.codes, (card_type, fact.path)


def test_values_named_in_the_card_rows():
    """Every "0 grey, 1 black" and "type 0, 1, 2" of the table is the list of values we allow, and no other."""
    for _, facts in card_facts():
        for fact in facts:
            values = sorted({int(value) for value in re.findall(r"(?<![\d.~])(\d)(?=[ /][a-z])", fact.rule)})
            if fact.type is int and fact.path not in ("card_action.type", "button_list[].style"):
                expected = values or [0, 1, 2]  # "as quote_area"
                for card_type in CARDS:
                    for rule in rules_at(cards.CARDS[card_type], fact.path):
                        assert expected == list(rule.allowed), (card_type, fact.path)
    (ratio,) = rules_at(cards.CARDS["news_notice"], "card_image.aspect_ratio")
    (style,) = rules_at(cards.CARDS["button_interaction"], "button_list[].style")
    assert ratio.between == (1.3, 2.25)
    assert style.allowed == (1, 2, 3, 4)


def cells(kind: str) -> list[tuple[str, str, str]]:
    """(path, card, cell) of the table of cards."""
    return [
        (row["field"], card, row[card])
        for row in rows("card_fields")
        for card in CARDS
        if (kind == "-") == (row[card] == "-")
    ]


@each(cells("there"))
def test_fields_of_each_card(path: str, card: str, cell: str):
    """R is required, O is not; maxima and types as noted."""
    table = cards.CARDS[card]
    found = rules_at(table, path)

    assert found, (card, path)
    pictures = ("image_text_area", "card_image")
    if path in pictures:
        assert any(isinstance(row, AnyOf) and row.names == pictures for row in table)
    elif path == "task_id":
        assert not found[0].required  # the worker gives one
    elif cell.startswith("O, but"):
        assert any(isinstance(row, AnyOf) and path in row.names and "sub_title_text" in row.names for row in table)
    else:
        assert cell.startswith("R") == found[0].required
    if most := re.search(r"max (\d+)|1 to (\d+)", cell):
        assert int(most[1] or most[2]) == found[0].entries[1]
    if types := re.search(r"type ([\d, or]+)", cell):
        (type_,) = rules_at(table, f"{path}.type")
        assert [int(value) for value in re.findall(r"\d", types[1])] == list(type_.allowed)
    if "no desc_color" in cell:
        assert not rules_at(table, "source.desc_color")


@each(cells("-"))
def test_fields_a_card_has_not(path: str, card: str, cell: str):
    """What is not defined for a card is not in its rows."""
    assert cell == "-"
    assert not rules_at(cards.CARDS[card], path)


@pytest.mark.parametrize("row", rows("options"), ids=lambda row: row["type"])
def test_common_options(row: dict[str, str]):
    """safe, enable_id_trans and the duplicate check as each type lists them."""
    msgtype = row["type"]
    listed = check.ENVELOPE[msgtype]
    safe = tuple(int(value) for value in re.findall(r"\d", row["safe"].split("(")[0]))

    assert safe == listed.get("safe", ())
    assert (row["enable_id_trans"] == "yes") == ("enable_id_trans" in listed)
    assert row["duplicate check"] == "yes"
    if "only for" in row["safe"]:
        assert set(re.findall(r"\b[a-z]{3,4}\b", row["safe"].split("only for:")[1])) == check.SAFE_FILES


@pytest.mark.parametrize("row", rows("updates"), ids=lambda row: row["difference"])
def test_differences_of_updates(row: dict[str, str]):
    """What an update has, may leave out, or must still have."""
    path, detail = row["difference"], row["detail"]
    short = {"vote_interaction": "for vote", "multiple_interaction": "and multiple"}
    named = [card for card in CARDS if card in detail or short.get(card, card) in detail]
    homes = named or [card for card in CARDS if rules_at(cards.UPDATED_CARDS[card], path)]

    if path == "task_id":
        assert not any(rules_at(cards.UPDATED_CARDS[card], path) for card in CARDS)
        return
    assert homes
    for card in homes:
        (rule,) = rules_at(cards.UPDATED_CARDS[card], path)
        assert ("still R" in detail) == rule.required
        if path in ("replace_text", "checkbox.disable", "select_list[].disable"):
            assert rules_at(cards.CARDS[card], path)[0].banned


@pytest.mark.parametrize("row", rows("uploads"), ids=lambda row: row["type"])
def test_uploads(row: dict[str, str]):
    """The maximum of every upload type."""
    assert size("MB", row["max size"]) * 1024 * 1024 == UPLOADS[row["type"]]


def test_no_row_is_left_out(capsys: pytest.CaptureFixture[str]):
    """The tests above read as many rows as the tables have."""
    read = {
        "plain_fields": len(plain_facts()) - len(rows("mini_program_notice")),
        "mini_program_notice": len(rows("mini_program_notice")),
        "card_fields": len(cells("there") + cells("-")) // len(CARDS),
        "card_nested": len(card_facts()),
    }

    written = {name: len(rows(name)) for name in read}

    with capsys.disabled():
        print(f"\nfield rows of the vendor checked: {sum(read.values())} {read}")
    assert written == read
    assert read == {"plain_fields": 26, "mini_program_notice": 8, "card_fields": 20, "card_nested": 57}
