"""A name is one class: no two public classes of the program share it, so that a search finds the one that is meant."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tools.source import nodes, tree

ROOT = Path(__file__).parents[2]
REASONS = {
    "Attachment": "the vendor's word for what hangs on a campaign, and for the buttons below a webhook's markdown",
    "File": "what a producer attaches to any message, and the vendor's word for a file that hangs on a campaign",
    "NewsNoticeCard": "an application's has a task_id and a menu and either picture; a webhook's needs the large one",
    "Raw": "an application's may turn the duplicate check off; a campaign's has no type",
    "TextNoticeCard": "an application's has a task_id and a menu, and no need for a title; a webhook's has neither",
}
"""Names of several classes whose objects really differ at the vendor, and why no class can serve for all."""


def test_a_value_has_one_docstring() -> None:
    """Of two in a row one is another value's, which has none."""
    doubled = [
        f"{path.relative_to(ROOT)}:{second.lineno}"
        for package in ("worker", "worker_simulator")
        for path in sorted((ROOT / package).rglob("*.py"))
        for node in nodes(path)
        for first, second in pairwise(node.body if isinstance(node, ast.ClassDef | ast.Module) else [])
        if _is_text(first) and _is_text(second)
    ]

    assert doubled == []


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


@dataclass(frozen=True)
class Place:
    """Where a class stands."""

    path: str
    channel: str
    """The folder of its channel; empty outside of the channels."""
    is_message: bool
    """It says of which of the vendor's types it is (`msgtype`)."""


def test_a_name_is_one_class() -> None:
    """Except where the vendor's objects differ, and for messages, which users import from their channel by the name.

    `worker.webhook.Text` and `worker.youdu.Text` are each their channel's own; within a channel a name is one message.
    """
    places: dict[str, list[Place]] = {}
    for name, place in _public_classes():
        places.setdefault(name, []).append(place)

    shared = {name: found for name, found in places.items() if len(found) > 1 and not _are_messages(found)}

    assert sorted(REASONS) == sorted(shared), {name: shared[name] for name in shared.keys() - REASONS.keys()}


def test_a_message_shares_its_name_with_messages_of_other_channels_alone() -> None:
    """Not with one of its own channel, nor with a class that is no message."""
    text, other = Place("a.py", "youdu", True), Place("b.py", "wecom_app", True)

    assert _are_messages([text, other])
    assert not _are_messages([text, text])
    assert not _are_messages([text, Place("c.py", "wecom_app", False)])
    assert not _are_messages([text, Place("d.py", "", True)])


def _are_messages(found: list[Place]) -> bool:
    channels = [one.channel for one in found]
    return all(one.is_message for one in found) and all(channels) and len(set(channels)) == len(channels)


def _public_classes() -> Iterator[tuple[str, Place]]:
    for path in sorted([*(ROOT / "worker").rglob("*.py"), *(ROOT / "worker_simulator").rglob("*.py")]):
        package, *folders = path.relative_to(ROOT).parent.parts
        channel = folders[1] if package == "worker" and folders[:1] == ["channels"] and len(folders) > 1 else ""
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, Place(str(path.relative_to(ROOT)), channel, _says_its_type(node))


def _says_its_type(node: ast.ClassDef) -> bool:
    fields = (one for one in node.body if isinstance(one, ast.AnnAssign) and one.value is not None)
    return any(isinstance(one.target, ast.Name) and one.target.id == "msgtype" for one in fields)
