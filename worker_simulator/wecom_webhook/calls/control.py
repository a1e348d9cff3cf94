"""The control calls of the fake webhooks.

Does not know how they come in.
"""

from typing import TYPE_CHECKING, Any

from worker_simulator.request import HttpRequest
from worker_simulator.wecom_webhook.calls.events import Act, carry_out

if TYPE_CHECKING:
    from worker_simulator.world import Controlled


def _shown(simulator: "Controlled", request: HttpRequest) -> Any:
    return simulator.world.webhook.shown()


def _act(simulator: "Controlled", request: HttpRequest) -> Any:
    """Carry an act out; its event is sent in the background, and `callbacks` shows what became of it."""
    return carry_out(simulator.world, Act.model_validate(request.json() if request.body else {}))


ACTS = {("GET", "webhook"): _shown, ("POST", "webhook"): _act}
