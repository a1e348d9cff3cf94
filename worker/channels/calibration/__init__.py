"""What `worker calibrate` asks of a tenant, a file a channel; loaded by that command alone."""

from __future__ import annotations

import importlib

from worker.channels.calibration.questions import Calibration
from worker.config.channels import REGISTRY
from worker.domain.errors import WorkerError


def calibration_of(channel: str) -> Calibration:
    """The calibration of a channel; WorkerError where there is none."""
    if channel not in REGISTRY or REGISTRY[channel].door is None:
        raise WorkerError(f"an account of {channel} sends nothing, or is no channel of ours: name another account")
    found: Calibration = importlib.import_module(f"{__name__}.{channel}").CALIBRATION
    return found
