"""What people do in a Youdu app: write to it or open it (c01_00004, c01_00010), and the callback that follows."""

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from worker.crypto.youdu import YouduEnvelope, signature
from worker_simulator.request import ControlBody, HttpRequest, Json
from worker_simulator.settings.youdu import YouduApp
from worker_simulator.vendor_state import StateHolder


class PersonAction(ControlBody):
    """What a person does in an app."""

    act: Literal["message", "open"]
    appid: str
    person: str
    text: str = "hello"
    """For `message`: the text."""


@dataclass(frozen=True, slots=True)
class YouduCallbackTarget:
    """A Youdu app as the target of callbacks."""

    app: YouduApp
    buin: int

    @property
    def callback_url(self) -> str | None:
        """Its callback URL."""
        return self.app.callback_url

    @property
    def receiver(self) -> str:
        """The appId at the end of its callbacks."""
        return self.app.appid

    @property
    def name(self) -> str:
        """Its name in error messages."""
        return f"the Youdu app {self.app.appid}"

    def encrypt(self, message: bytes, receiver: str, timestamp: str, nonce: str, random: bytes) -> tuple[str, str]:
        """Returns the encrypted message and its signature."""
        encrypted = YouduEnvelope(self.app.aes_key, receiver).seal(message, random)
        return encrypted, signature(self.app.callback_token, timestamp, nonce, encrypted)

    def wrap(self, encrypted: str) -> str:
        """Returns the body of a callback."""
        return json.dumps({"toBuin": self.buin, "toApp": self.app.appid, "encrypt": encrypted})


def _run_action(simulator: StateHolder, request: HttpRequest) -> Any:
    """Carries out an action. The callback is sent in the background; `callbacks` shows its result."""
    action, state = PersonAction.read(request), simulator.state
    settings = state.settings.youdu
    app = next((candidate for candidate in settings.apps if candidate.appid == action.appid), None)
    if app is None:
        raise ValueError(f"there is no Youdu app {action.appid} in the settings")
    about: Json = {"act": action.act, "person": action.person}
    if action.act == "message":
        about["text"] = action.text
    content = json.dumps(_callback_fields(action, state.clock.now()), ensure_ascii=False).encode()
    return state.callbacks.send(YouduCallbackTarget(app, settings.buin), content, about).to_json()


def _callback_fields(action: PersonAction, now: float) -> Json:
    envelope: Json = {"fromUser": action.person, "createTime": int(now), "packageId": secrets.token_hex(16)}
    if action.act == "message":
        return {**envelope, "msgType": "text", "text": {"content": action.text}}
    # Which operations there are, the documentation does not say; the Java SDK only reads the field.
    return {**envelope, "msgType": "event", "event": {"appId": action.appid, "operation": "open"}}


class Loss(ControlBody):
    """What the server loses: all tokens as by a restart, one token or `all` by time, one file or `all`."""

    forget_tokens: bool = False
    expire_token: str | None = None
    forget_media: str | None = None


def _get_state(simulator: StateHolder, request: HttpRequest) -> Any:
    """Returns every message with its recipients, the open windows, the badges and the files."""
    return simulator.state.youdu.to_json()


def _lose(simulator: StateHolder, request: HttpRequest) -> Any:
    """Deletes or expires what the body names. Returns how many there were."""
    loss, youdu = Loss.read(request), simulator.state.youdu
    return {
        "forgotten": youdu.tokens.forget() if loss.forget_tokens else 0,
        "expired": youdu.tokens.expire(loss.expire_token) if loss.expire_token else 0,
        "media": youdu.media.forget(loss.forget_media) if loss.forget_media else 0,
    }


CONTROL_ROUTES: dict[tuple[str, str], Callable[[StateHolder, HttpRequest], Any]] = {
    ("GET", "youdu"): _get_state,
    ("POST", "youdu"): _lose,
    ("POST", "youdu_app"): _run_action,
}
