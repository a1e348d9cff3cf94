"""The jobs of one crash cell, drawn by a seed: texts, multi-part texts, cards, images, uploads, recalls, updates.

Every send has people of its own, so that who saw what twice, or never, can be read off the inboxes.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from rig.stack import ACCOUNT, Stack
from worker import ButtonCard, CardUpdate, File, Image, Text, To, enqueue, recall, update_card, upload
from worker.channels.wecom.cards import MainTitle
from worker.channels.wecom_app.cards import Button

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Mix:
    """What was asked for."""

    sends: dict[str, list[str]] = field(default_factory=dict)
    """Job -> its people."""
    others: list[str] = field(default_factory=list)
    """Recalls, updates, uploads."""
    orders: dict[str, list[str]] = field(default_factory=dict)
    """order_key -> its jobs, in their order."""

    @property
    def jobs(self) -> int:
        """How many were asked for."""
        return len(self.sends) + len(self.others)


def vendor_settings(seed: str) -> dict[str, Any]:
    """Every point of the duplicate check that the vendor left unconfirmed, drawn."""
    rng = random.Random(f"vendor {seed}")
    return {
        "latency_s": 0.03,
        "duplicate": {
            "compare": rng.choice(["bytes", "flagless"]),
            "refused_counts": rng.random() < 0.5,
            "unflagged_counts": rng.random() < 0.5,
            "answers": rng.choice(["first_msgid", "new_msgid", "no_msgid"]),
            "repeat_extends": rng.random() < 0.5,
            "before_task_id": rng.random() < 0.5,
        },
    }


def enqueue_mix(stack: Stack, seed: str, count: int = 30) -> Mix:
    """Asks for everything in one transaction, in an order drawn by the seed."""
    rng, chooser, mix = random.Random(f"mix {seed}"), random.Random(f"options {seed}"), Mix()
    with stack.database.writing() as connection:
        for number in range(count):
            _one(connection, stack, rng, mix, number, _options(chooser))
    return mix


def _options(rng: random.Random) -> dict[str, Any]:
    """Of a send: some urgent, some bulk, some one after the other; what is held in doubt lets those behind it go."""
    options: dict[str, Any] = {"priority": rng.choices(("normal", "bulk", "urgent"), (6, 3, 1))[0]}
    if rng.random() < 0.3:
        options |= {"order_key": rng.choice("ab"), "on_gap": "skip"}
    return options


def _one(connection: Any, stack: Stack, rng: random.Random, mix: Mix, number: int, options: dict[str, Any]) -> None:
    # A send to a thousand counts two thousand rows of limits: one or two in a cell.
    kind = rng.choices(("text", "many", "card", "image", "upload"), (10, 1, 4, 3, 2))[0]
    people = [f"j{number}u{n}" for n in range(1_003 if kind == "many" else rng.randint(1, 3))]
    accounts = stack.accounts
    if kind == "upload":
        file = File(b"a file for nobody %d" % number, f"file{number}.txt")
        mix.others.append(upload(connection, ACCOUNT, file, accounts=accounts).id)
        return
    check = rng.random() < 0.8
    messages: dict[str, Callable[[], Text | ButtonCard | Image]] = {
        "text": lambda: Text(content=f"text {number}", duplicate_check=check),
        "many": lambda: Text(content=f"many {number}", duplicate_check=check),
        "card": lambda: _card(number),
        "image": lambda: Image(file=File(PNG + b"%d" % number, f"image{number}.png"), duplicate_check=check),
    }
    job = enqueue(connection, ACCOUNT, messages[kind](), To(users=people), **options, accounts=accounts).id
    mix.sends[job] = people
    if "order_key" in options:
        mix.orders.setdefault(options["order_key"], []).append(job)
    if kind == "card" and rng.random() < 0.6:
        update = CardUpdate(replace_name=f"done {number}")
        mix.others.append(update_card(connection, job, update, accounts=accounts).id)
    elif rng.random() < 0.3:
        # At once: it overtakes its send and cancels it. Later: there is something to take back.
        due_at = datetime.now(UTC) + timedelta(seconds=rng.choice((0.0, 1.0, 3.0)))
        mix.others.append(recall(connection, job, due_at=due_at, accounts=accounts).id)


def _card(number: int) -> ButtonCard:
    return ButtonCard(main_title=MainTitle(title=f"card {number}"), button_list=[Button(text="yes", key="y")])
