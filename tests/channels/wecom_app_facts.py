"""The vendor's tables in `facts/`, read row by row. Knows nothing of the channel."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FACTS = Path(__file__).parent / "facts"
TYPES = {"string": str, "int": int, "bool": bool, "number": float, "array": list}


def rows(name: str) -> list[dict[str, str]]:
    """Every row of a file's tables, by column head."""
    found: list[dict[str, str]] = []
    head: list[str] = []
    for line in (FACTS / f"{name}.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells:
            head = []
        elif not head:
            head = cells
        elif set(cells[0]) != {"-"}:
            found.append(dict(zip(head, cells, strict=True)))
    return found


def codes(text: str) -> set[int]:
    """Every vendor code a cell names, runs included."""
    found = {int(code) for code in re.findall(r"(?<![\d.])\d{5,7}(?!\d)", text)}
    for first, last in re.findall(r"(\d{5,7}) ?- ?(\d{5,7})", text):
        found |= set(range(int(first), int(last) + 1))
    return found


def size(pattern: str, text: str) -> int | None:
    """The number of a cell such as "2048 bytes"."""
    found = re.search(rf"(\d[\d,]*) {pattern}", text)
    return int(found[1].replace(",", "")) if found else None


@dataclass(frozen=True)
class Fact:
    """One field as a row says it."""

    place: str
    """msgtype or card_type."""
    path: str
    type: type | None
    required: str
    """yes, no, or a condition in words."""
    rule: str
    effect: str
    codes: frozenset[int]


def plain_facts() -> list[Fact]:
    """The rows of the types that are no cards, and of the mini program notice."""
    plain = [_plain(row, *row["type.field"].split(".", 1)) for row in rows("plain_fields")]
    notice = [
        Fact(
            "miniprogram_notice",
            row["field"],
            TYPES[row["type"].split()[0]],
            row["req"],
            row["limit"],
            "err",
            frozenset(codes(row["req"] + row["limit"])),
        )
        for row in rows("mini_program_notice")
    ]
    return plain + notice


def _plain(row: dict[str, str], place: str, path: str) -> Fact:
    over = row["over-limit"].replace("*", "").partition("webhook robots")[0]  # those are another channel
    effect = "cut" if over.startswith("cut") else "err"
    text = f"{row['req']} {row['limit']} {over}"
    return Fact(place, path, TYPES[row["type"].split()[0]], row["req"], row["limit"], effect, frozenset(codes(text)))


def card_facts() -> list[tuple[str, list[Fact]]]:
    """The rows of nested card fields: the row as written, and the fields it stands for."""
    return [(row["path"], list(_nested(row))) for row in rows("card_nested")]


def _nested(row: dict[str, str]) -> Iterator[Fact]:
    """A row such as `jump_list[].url / appid / pagepath` is several fields; its cells are split alike."""
    length = re.search(r"list length (\d+)", row["error code"])
    own = row["error code"] if length is None else row["error code"].replace(length[0], "")
    paths = re.split(r" / |, ", row["path"])
    above = paths[0].rpartition(".")[0]
    full = [paths[0], *(f"{above}.{path}" if above else path for path in paths[1:])]
    if length:
        yield Fact("card", above, list, "", "", "err", frozenset({int(length[1])}))
    if "; id 128 bytes unique, text ~16" in row["rule"]:
        count, id_, text = re.findall(r"\d{5}", own)
        yield Fact("card", full[0], list, "yes", "1 to 10", "err", frozenset({int(count)}))
        yield Fact("card", f"{full[0]}.id", str, "yes", "128 bytes, unique", "err", frozenset({int(id_)}))
        yield Fact("card", f"{full[0]}.text", str, "yes", "~16", "adv", frozenset({int(text)}))
        return
    for n, path in enumerate(full):
        kind = row["type"] or ("int" if path.endswith("type") else "string")
        rule = _nth(row["rule"], n, len(full))
        need = _need(row["req inside parent"], path, n, len(full))
        effect = "adv" if "~" in rule else "err"
        yield Fact("card", path, TYPES[kind], need, rule, effect, frozenset(_own_codes(own, path, n, len(full))))


def _nth(cell: str, n: int, count: int) -> str:
    """One field's share of a cell such as "~14 / ~22"."""
    shares = cell.split(" / ")
    return shares[n] if len(shares) == count else cell


def _need(cell: str, path: str, n: int, count: int) -> str:
    name = path.rpartition(".")[2]
    share = _nth(cell, n, count).removeprefix(f"{name} ")
    return f"if {share}" if re.fullmatch(r"type \d", share) else share


def _own_codes(cell: str, path: str, n: int, count: int) -> set[int]:
    """In a row of links the codes are those of url and appid; pagepath has none."""
    if path.rpartition(".")[2] in ("type", "url", "appid", "pagepath") and count > 1:
        links = {"url": 42028, "appid": 42030}
        return {links.get(path.rpartition(".")[2], 0)} & codes(cell)
    return codes(_nth(cell, n, count))
