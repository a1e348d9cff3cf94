"""What a member does in an app besides pressing its cards: opens it (90240) or writes to it (90239).

Does not know how the event travels.
"""

import secrets
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from worker_simulator.request import HttpRequest, Json
from worker_simulator.wecom_app.calls.press import as_xml

if TYPE_CHECKING:
    from worker_simulator.world import Controlled, World


class MemberAct(BaseModel):
    """What a member does in which app of the settings."""

    model_config = ConfigDict(extra="forbid")

    act: Literal["message", "enter_agent"]
    corpid: str
    agentid: int
    person: str
    text: str = "hello"
    """The text of a message; only for `message`."""


def carry_out(world: "World", given: MemberAct) -> Json:
    """Send the event that follows; ValueError says why this is not possible."""
    app = world.apps.configured(given.corpid, given.agentid)
    about: Json = {"act": given.act, "person": given.person, "agentid": given.agentid}
    if given.act == "message":
        about["text"] = given.text
    return world.callbacks.send(app, _event(given, world.clock.now()), about).shown()


def _event(given: MemberAct, now: float) -> bytes:
    members: dict[str, Any] = {
        "ToUserName": given.corpid,
        "FromUserName": given.person,
        "CreateTime": int(now),
    }
    if given.act == "message":
        members |= {"MsgType": "text", "Content": given.text, "MsgId": secrets.randbelow(1 << 63)}
    else:
        members |= {"MsgType": "event", "Event": "enter_agent", "EventKey": ""}
    return f"<xml>{as_xml({**members, 'AgentID': given.agentid})}</xml>".encode()


def _act(simulator: "Controlled", request: HttpRequest) -> Any:
    """Carry an act out; its event is sent in the background, and `callbacks` shows what became of it."""
    return carry_out(simulator.world, MemberAct.model_validate(request.json() if request.body else {}))


ACTS = {("POST", "app"): _act}
