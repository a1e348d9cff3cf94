"""What a person does in an app: writes to it or opens it (c01_00004, c01_00010), and the callback that follows.

Does not know how the callback travels.
"""

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from worker.crypto.youdu import YouduEnvelope, signature
from worker_simulator.request import Json
from worker_simulator.settings.youdu import YouduApp

if TYPE_CHECKING:
    from worker_simulator.world import World


class PersonAct(BaseModel):
    """What a person does in which app."""

    model_config = ConfigDict(extra="forbid")

    act: Literal["message", "open"]
    appid: str
    person: str
    text: str = "hello"
    """The text of a message; only for `message`."""


@dataclass(frozen=True, slots=True)
class CalledApp:
    """An app of this server as callbacks see it."""

    app: YouduApp
    buin: int

    @property
    def callback_url(self) -> str | None:
        """Its address."""
        return self.app.callback_url

    @property
    def receiver(self) -> str:
        """The appId behind its callbacks."""
        return self.app.appid

    @property
    def name(self) -> str:
        """The app's name in messages to people."""
        return f"the Youdu app {self.app.appid}"

    def sealed(self, message: bytes, receiver: str, timestamp: str, nonce: str, random: bytes) -> tuple[str, str]:
        """The encrypted message and its signature."""
        encrypted = YouduEnvelope(self.app.aes_key, receiver).seal(message, random)
        return encrypted, signature(self.app.callback_token, timestamp, nonce, encrypted)

    def wrapped(self, encrypted: str) -> str:
        """The body of a callback."""
        return json.dumps({"toBuin": self.buin, "toApp": self.app.appid, "encrypt": encrypted})


def carry_out(world: "World", given: PersonAct) -> Json:
    """Send the callback that follows; ValueError says why this is not possible."""
    settings = world.settings.youdu
    app = next((one for one in settings.apps if one.appid == given.appid), None)
    if app is None:
        raise ValueError(f"there is no Youdu app {given.appid} in the settings")
    about: Json = {"act": given.act, "person": given.person}
    if given.act == "message":
        about["text"] = given.text
    said = json.dumps(_said(given, world.clock.now()), ensure_ascii=False).encode()
    return world.callbacks.send(CalledApp(app, settings.buin), said, about).shown()


def _said(given: PersonAct, now: float) -> Json:
    envelope: Json = {"fromUser": given.person, "createTime": int(now), "packageId": secrets.token_hex(16)}
    if given.act == "message":
        return {**envelope, "msgType": "text", "text": {"content": given.text}}
    # Which operations there are, the documentation does not say; the Java SDK only reads the field.
    return {**envelope, "msgType": "event", "event": {"appId": given.appid, "operation": "open"}}
