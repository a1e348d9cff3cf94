"""`python -m worker_simulator`: runs the fake vendor in a process of its own."""

import argparse
import sys
from pathlib import Path

from pydantic import ValidationError

from worker_simulator.server import ListenAddress, serve
from worker_simulator.settings import SimulatorSettings


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port; use 0 to 65535")
    return port


def parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    options = argparse.ArgumentParser(prog="worker simulator", description="The fake vendor over HTTP.")
    options.add_argument("--host", default="127.0.0.1", help="the address that it listens on")
    options.add_argument("--port", type=_port, default=0, help="the port; 0 takes a free one")
    options.add_argument("--bare", action="store_true", help="only count and answer, for measuring")
    options.add_argument("--latency-ms", type=float, default=0.0, help="with --bare: milliseconds before each answer")
    options.add_argument("--settings", default="{}", help="settings as JSON, or a file that holds them")
    options.add_argument("--certfile", help="serve TLS with this certificate")
    options.add_argument("--keyfile", help="the key of that certificate, where it is in another file")
    return options


def read_settings(source: str) -> SimulatorSettings:
    """Reads settings from JSON text or from a JSON file. Raises ValueError with one sentence if they are invalid."""
    try:
        content = source if source.lstrip().startswith("{") else Path(source).read_text(encoding="utf-8")
        return SimulatorSettings.model_validate_json(content)
    except OSError as error:
        raise ValueError(f"--settings: {source} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"]) or "JSON"
        raise ValueError(f"--settings: {place}: {first['msg']}") from None


def print_line(text: str) -> None:
    """Prints a line and flushes it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> None:
    """Runs the simulator until SIGTERM or SIGINT."""
    argument_parser = parser()
    options = argument_parser.parse_args(arguments)
    if options.keyfile and not options.certfile:
        argument_parser.error("--keyfile: name its certificate, too, with --certfile")
    try:
        settings = read_settings(options.settings)
        ListenAddress(certfile=options.certfile, keyfile=options.keyfile).tls()
    except ValueError as error:
        argument_parser.error(str(error))
    except OSError as error:
        files = " and ".join(filter(None, (options.certfile, options.keyfile)))
        argument_parser.error(f"--certfile: {files} cannot be used: {error.strerror or error}")
    try:
        serve(
            options.host,
            options.port,
            settings=settings,
            bare=options.bare,
            latency_s=options.latency_ms / 1000,
            announce=print_line,
            certfile=options.certfile,
            keyfile=options.keyfile,
        )
    except OSError as error:  # an address in use or not ours
        argument_parser.error(f"cannot listen on {options.host}:{options.port}: {error.strerror or error}")


if __name__ == "__main__":
    main()
