"""`python -m worker_simulator`: the fake vendor in a process of its own.

Knows only its command line.
"""

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from worker_simulator.server import serve
from worker_simulator.settings import SimulatorSettings


def _port(given: str) -> int:
    port = int(given)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port; 0 to 65535 are")
    return port


def parser() -> argparse.ArgumentParser:
    """The command line."""
    options = argparse.ArgumentParser(prog="worker simulator", description="The fake vendor over HTTP.")
    options.add_argument("--host", default="127.0.0.1", help="the address that it listens on")
    options.add_argument("--port", type=_port, default=0, help="the port; 0 takes a free one")
    options.add_argument("--bare", action="store_true", help="only count and answer, for measuring")
    options.add_argument("--latency-ms", type=float, default=0.0, help="with --bare: milliseconds before each answer")
    options.add_argument("--settings", default="{}", help="settings as JSON, or a file that holds them")
    options.add_argument("--certfile", help="serve TLS with this certificate")
    options.add_argument("--keyfile", help="the key of that certificate, where it is in another file")
    return options


def read_settings(given: str) -> SimulatorSettings:
    """Settings from JSON, or from the file of that name; ValueError with one sentence for what is wrong with them."""
    try:
        text = given if given.lstrip().startswith("{") else Path(given).read_text(encoding="utf-8")
        return SimulatorSettings.model_validate_json(text)
    except OSError as error:
        raise ValueError(f"--settings: {given} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "JSON"
        raise ValueError(f"--settings: {place}: {first['msg']}") from None


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or SIGINT."""
    options = parser()
    given = options.parse_args(arguments)
    try:
        settings = read_settings(given.settings)
    except ValueError as error:
        options.error(str(error))
    try:
        serve(
            given.host,
            given.port,
            settings=settings,
            bare=given.bare,
            latency_s=given.latency_ms / 1000,
            announce=say,
            certfile=given.certfile,
            keyfile=given.keyfile,
        )
    except OSError as error:  # an address in use or not ours, a certificate that is not there
        options.error(f"cannot listen on {given.host}:{given.port}: {error.strerror or error}")


if __name__ == "__main__":
    main()
