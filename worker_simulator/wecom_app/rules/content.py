"""A message on its way through the checks of its body, in the order the settings say (the vendor's is unconfirmed).

Does not know who exists, limits and what a send does. Each check stands for itself.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings.whole import Check
from worker_simulator.wecom_app.rules.findings import Findings, warned
from worker_simulator.wecom_app.rules.nested import Table
from worker_simulator.wecom_app.rules.options import SendOptions, refuse_unsafe_file
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_app.state.directory import Directory

if TYPE_CHECKING:
    from worker_simulator.world import World


@dataclass(slots=True)
class Sending:
    """One send: what came, and what the checks made of it."""

    app: App
    request: HttpRequest
    body: Json
    found: Findings
    content: Json = field(default_factory=dict)
    agentid: int | None = None
    options: SendOptions = field(default_factory=SendOptions)
    recipients: dict[str, list[str]] = field(default_factory=dict)

    @property
    def msgtype(self) -> str:
        """The type as it was sent, known or not."""
        return str(self.body.get("msgtype"))

    @property
    def card(self) -> Json | None:
        """The card, if it is one."""
        return self.content if self.msgtype == "template_card" else None


Step = Callable[["World", Sending], None]


def checked(world: "World", app: App, request: HttpRequest, body: Json, steps: Mapping[Check, Step]) -> Sending:
    """Carry out the checks a call has; Refused by the first that refuses."""
    sending = Sending(app, request, body, Findings(world.settings.codes))
    sending.content = _own_part(body, sending.msgtype)
    if body.get("enable_id_trans") == 1:
        sending.found.translate = translator(world.directory)
    with warned(sending.found):
        for name in world.settings.check_order:
            if name in steps:
                steps[name](world, sending)
    return sending


def check_plain(sending: Sending, tables: Mapping[str, Table]) -> None:
    """Check a body by the table of its type; one of an unknown type is refused by the check of the type."""
    table = tables.get(sending.msgtype)
    if table is not None:
        table.check(sending.content, sending.msgtype, sending.found)


def check_media(world: "World", sending: Sending) -> None:
    """Check that every media_id exists and is of the right kind, and that a file sent with `safe` may be safe."""
    for media_id, kind in sending.found.media:
        filename = world.media.check(sending.app.corpid, kind, media_id)
        if sending.msgtype == "file" and sending.body.get("safe") and filename is not None:
            refuse_unsafe_file(filename, sending.found)


def _own_part(body: Json, msgtype: str) -> Json:
    """The object of the message's type; one that is missing is checked as an empty one."""
    content = body.get(msgtype)
    return content if isinstance(content, dict) else {}


PATTERN = re.compile(r"\$(userName|userAlias|userAliasOrName|departmentName)=([^$]*)\$")


def translator(directory: Directory) -> Callable[[str], str]:
    """Puts names into a text; what cannot be resolved stays as typed."""

    def name(match: re.Match[str]) -> str:
        named = directory.party_name if match[1] == "departmentName" else directory.user_name
        return named(match[2]) or match[0]

    return lambda text: PATTERN.sub(name, text)
