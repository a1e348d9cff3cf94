"""The table of limits in docs/wecom-webhook.md, from our rows; run as a program it prints it."""

from __future__ import annotations

from wecom_app_table import HEAD, limited

from worker.channels.wecom_webhook import fields


def lines() -> list[str]:
    """Every field with a limit, type by type, as message push has them; fields that both cards share stand once."""
    plain = [line for name, rows in fields.BODIES[fields.PUSH].items() for line in limited(name, rows)]
    cards = [line for rows in fields.CARDS.values() for line in limited("template_card", rows)]
    return [*HEAD, *plain, *dict.fromkeys(cards)]


if __name__ == "__main__":
    print("\n".join(lines()))
