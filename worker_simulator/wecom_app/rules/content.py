"""Runs the checks of a send in the order of the settings (the vendor's order is not confirmed)."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings.simulator import Check
from worker_simulator.vendor_state import VendorState
from worker_simulator.wecom_app.rules.findings import Findings, format_warnings
from worker_simulator.wecom_app.rules.nested import Table
from worker_simulator.wecom_app.rules.options import SendOptions, refuse_unsafe_file
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_app.state.directory import Directory


@dataclass(slots=True)
class Sending:
    """One send: the request, and the results of the checks."""

    app: App
    request: HttpRequest
    body: Json
    findings: Findings
    content: Json = field(default_factory=dict)
    agentid: int | None = None
    options: SendOptions = field(default_factory=SendOptions)
    recipients: dict[str, list[str]] = field(default_factory=dict)

    @property
    def msgtype(self) -> str:
        """The msgtype of the body, known or not."""
        return str(self.body.get("msgtype"))

    @property
    def card(self) -> Json | None:
        """The card, or None if the message is none."""
        return self.content if self.msgtype == "template_card" else None


Step = Callable[[VendorState, Sending], None]


def run_checks(state: VendorState, app: App, request: HttpRequest, body: Json, steps: Mapping[Check, Step]) -> Sending:
    """Runs the checks that a call has. Raises Refused at the first that fails."""
    sending = Sending(app, request, body, Findings(state.settings.codes))
    sending.content = _content_of(body, sending.msgtype)
    if body.get("enable_id_trans") == 1:
        sending.findings.translate = translator(state.directory)
    with format_warnings(sending.findings):
        for name in state.settings.check_order:
            if name in steps:
                steps[name](state, sending)
    return sending


def check_content(sending: Sending, tables: Mapping[str, Table]) -> None:
    """Checks the content by the table of its type. An unknown type is left to the check of the msgtype."""
    table = tables.get(sending.msgtype)
    if table is not None:
        table.check(sending.content, sending.msgtype, sending.findings)


def check_media(state: VendorState, sending: Sending) -> None:
    """Checks that every media_id exists with the right type, and that a file with `safe` may be safe."""
    for media_id, kind in sending.findings.media:
        filename = state.media.check(sending.app.corpid, kind, media_id)
        if sending.msgtype == "file" and sending.body.get("safe") and filename is not None:
            refuse_unsafe_file(filename, sending.findings)


def _content_of(body: Json, msgtype: str) -> Json:
    """Returns the object of the message's type, or an empty one."""
    content = body.get(msgtype)
    return content if isinstance(content, dict) else {}


PATTERN = re.compile(r"\$(userName|userAlias|userAliasOrName|departmentName)=([^$]*)\$")


def translator(directory: Directory) -> Callable[[str], str]:
    """Returns a function that replaces ids in a text by names. An unknown id stays as it is."""

    def name(match: re.Match[str]) -> str:
        name_of = directory.party_name if match[1] == "departmentName" else directory.user_name
        return name_of(match[2]) or match[0]

    return lambda text: PATTERN.sub(name, text)
