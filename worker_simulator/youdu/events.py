"""What a person does in an app: writes to it or opens it (c01_00004, c01_00010), and the callback that follows.

Does not know how the callback travels.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from worker.crypto.youdu import YouduEnvelope, signature
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings.youdu import YouduApp
from worker_simulator.world import Controlled

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


class Loss(BaseModel):
    """What the server loses: all tokens as by a restart, one token or `all` by time, one file or `all`."""

    model_config = ConfigDict(extra="forbid")

    forget_tokens: bool = False
    expire_token: str | None = None
    forget_media: str | None = None


def look(simulator: Controlled, request: HttpRequest) -> Any:
    """Every message with the accounts it was shown to, the open windows, the badges, the files."""
    return simulator.world.youdu.shown()


def lose(simulator: Controlled, request: HttpRequest) -> Any:
    """Lose what is named; returns how many there were."""
    loss, youdu = Loss.model_validate(request.json() if request.body else {}), simulator.world.youdu
    return {
        "forgotten": youdu.tokens.forget() if loss.forget_tokens else 0,
        "expired": youdu.tokens.expire(loss.expire_token) if loss.expire_token else 0,
        "media": youdu.media.forget(loss.forget_media) if loss.forget_media else 0,
    }


def act(simulator: Controlled, request: HttpRequest) -> Any:
    """Carry out what a person does; its callback is sent in the background, and `callbacks` shows what became of it."""
    return carry_out(simulator.world, PersonAct.model_validate(request.json() if request.body else {}))


ACTS: dict[tuple[str, str], Callable[[Controlled, HttpRequest], Any]] = {
    ("GET", "youdu"): look,
    ("POST", "youdu"): lose,
    ("POST", "youdu_app"): act,
}
