"""Control of the fake Youdu server: shows what arrived, and makes the server lose tokens or files.

Does not know calls.
"""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict

from worker_simulator.request import HttpRequest
from worker_simulator.world import Controlled
from worker_simulator.youdu.calls.events import PersonAct, carry_out


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
