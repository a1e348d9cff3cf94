"""Names of workers: RabbitMQ refuses a second one of the same name, and locks its queue for remote control."""

from __future__ import annotations

import os


def own_name() -> str:
    """This process's."""
    return f"w{os.getpid()}@test"
