"""The table of limits in docs/wecom-app.md, from our rows; `python tests/channels/wecom_app_table.py` prints it."""

from __future__ import annotations

from collections.abc import Iterator

from worker.channels.checking.row import Effect, FieldRule, Row
from worker.channels.wecom_app import card_fields, fields

HEAD = ("| field | limit | beyond it |", "|---|---|---|")


def lines() -> list[str]:
    """Every field with a limit, type by type; fields that several cards share stand once."""
    plain = [line for name, rows in fields.BODIES.items() for line in limited(name, rows)]
    cards = [line for rows in card_fields.CARDS.values() for line in limited("template_card", rows)]
    chats = [*limited("create_chat", fields.CREATE_CHAT), *limited("change_chat", fields.CHANGE_CHAT)]
    return [*HEAD, *plain, *dict.fromkeys(cards), *chats]


def limited(root: str, rows: tuple[Row, ...]) -> Iterator[str]:
    """The rows that limit something, as lines of the table."""
    for row in rows:
        if isinstance(row, FieldRule) and not row.banned and (limit := limit_of(row)):
            yield f"| `{root}.{row.path}` | {limit} | {beyond(row)} |"


def limit_of(row: FieldRule) -> str:
    said = []
    if row.entries is not None:
        said.append(f"{row.entries[0]} to {row.entries[1]} entries")
    if row.max_bytes is not None:
        said.append(f"{row.max_bytes} bytes")
    if row.max_chars is not None:
        said.append(f"{row.max_chars} characters")
    if row.chinese is not None:
        said.append(f"{row.chinese[0]} to {row.chinese[1]} Chinese characters, ASCII as halves")
    if row.advised is not None:
        said.append(f"{row.advised} characters advised")
    if row.allowed is not None:
        said.append(", ".join(map(str, row.allowed)))
    if row.between is not None:
        said.append(f"{row.between[0]} to {row.between[1]}")
    return "; ".join(said)


def beyond(row: FieldRule) -> str:
    if row.advised is not None:
        return "warned: clients shorten it"
    choice = ", or truncated" if row.prose else ""
    why = "cut in silence by the vendor" if row.effect is Effect.CUT else f"vendor code {row.code}" if row.code else ""
    return f"refused{choice}" + (f" ({why})" if why else "")


if __name__ == "__main__":
    print("\n".join(lines()))
