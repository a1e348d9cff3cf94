"""`python -m worker.simulator`: the fake vendor in a process of its own.

Refuses to know anything but its command line.
"""

import argparse
import sys
from pathlib import Path

from worker.simulator.server import serve
from worker.simulator.settings import SimulatorSettings


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(prog="python -m worker.simulator", description="The fake vendor over HTTP.")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=0, help="0 takes a free one")
    options.add_argument("--bare", action="store_true", help="only count and answer, for measuring")
    options.add_argument("--latency-ms", type=float, default=0.0)
    options.add_argument("--settings", default="{}", help="settings as JSON, or a file that holds them")
    options.add_argument("--certfile", help="serve TLS with this certificate")
    options.add_argument("--keyfile")
    return options


def read_settings(given: str) -> SimulatorSettings:
    """Settings from JSON, or from the file of that name."""
    text = given if given.lstrip().startswith("{") else Path(given).read_text(encoding="utf-8")
    return SimulatorSettings.model_validate_json(text)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    given = parser().parse_args(arguments)
    serve(
        given.host,
        given.port,
        settings=read_settings(given.settings),
        bare=given.bare,
        latency_s=given.latency_ms / 1000,
        announce=say,
        certfile=given.certfile,
        keyfile=given.keyfile,
    )


if __name__ == "__main__":
    main()
