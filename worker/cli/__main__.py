"""The entry point of `worker` and of `python -m worker.cli`."""

from __future__ import annotations

import gc

from worker.cli import main


def process() -> None:
    """Runs the command, without garbage collections while modules are imported and at the exit.

    Imported modules stay until the end. Searching them for garbage would take a quarter of a short command's time.
    """
    gc.disable()  # until the command is loaded, see `_Worker`
    try:
        main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    process()
