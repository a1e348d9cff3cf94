"""The process of a command: `worker`, and `python -m worker.cli` in its place."""

from __future__ import annotations

import gc

from worker.cli import main


def process() -> None:
    """Carries out the command that was typed.

    What is imported stays until the end. To look through it for garbage, again and again while it is loaded and once
    more at the end, takes a quarter of a short command's time.
    """
    gc.disable()  # until the command is loaded, see `_Worker`
    try:
        main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    process()
