"""Queues, processes and commands are the same wherever they are written down."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import typer.main
from sqlalchemy import make_url

from tests.process.stacks import STACKS, WITH_A_BROKER
from worker.cli.commands import app
from worker.config.settings import Settings
from worker.service import queues

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("Procfile", "docker/compose.yaml", "docker/Dockerfile")


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [name.replace("+", "-") for name in WITH_A_BROKER])
def test_every_stack_has_a_preset_of_services(name: str) -> None:
    """The profiles a preset switches on are the hosts of its URLs, and the settings take them."""
    preset = dict(line.split("=", 1) for line in _read(f"docker/{name}.env").splitlines())
    profiles = dict(re.findall(r"^  (\w+):\n(?:    .*\n)*?    profiles: \[(\w+)\]", _read("docker/compose.yaml"), re.M))

    settings = Settings(database=preset["WORKER_DATABASE"], broker=preset["WORKER_BROKER"])

    hosts = [urlsplit(url).hostname for url in (settings.database_url(), settings.broker_url())]
    assert preset["COMPOSE_PROFILES"].split(",") == ["worker", *hosts]
    assert hosts == name.split("-")
    assert set(hosts) <= {service for service, profile in profiles.items() if service == profile}


def test_the_embedded_preset_keeps_its_outbox_in_a_volume() -> None:
    """One process that delivers, whose file lies where the image lets it write and a volume is mounted."""
    preset = dict(line.split("=", 1) for line in _read("docker/embedded.env").splitlines())
    compose = _read("docker/compose.yaml")

    settings = Settings(database=preset["WORKER_DATABASE"], broker=preset["WORKER_BROKER"])

    folder = str(Path(str(make_url(settings.database_url()).database)).parent)
    assert settings.broker_url() == preset["COMPOSE_PROFILES"] == "embedded"
    assert f"    - outbox:{folder}\n" in compose
    assert f"install -d -o worker {folder}" in _read("docker/Dockerfile")
    assert "    profiles: [embedded]\n    command: worker up" in compose


def test_the_presets_are_those_of_the_stacks() -> None:
    """No preset without tests, and the comment that says how to start names each of them."""
    presets = {path.name for path in (ROOT / "docker").glob("*.env")}

    assert {f"{name.replace('+', '-')}.env" for name in STACKS} == presets
    assert [] == [preset for preset in presets if preset not in _read("docker/compose.yaml")]


@pytest.mark.parametrize("place", PLACES)
def test_every_place_consumes_every_queue(place: str) -> None:
    """The names of `queues.py`, all of them and no others."""
    named = re.findall(r"worker\.(?:urgent|normal|[a-z]+)(?=[,\s\"])", "\n".join(re.findall(r"-Q.*", _read(place))))

    assert set(queues.NAMES) == set(named)


def test_compose_starts_what_the_procfile_starts() -> None:
    """The same command under the same name; a container's worker is told apart by its host."""
    processes = dict(
        line.replace(" -n worker-$$@%h", "").split(": ", 1) for line in _read("Procfile").splitlines() if line
    )

    started = dict(re.findall(r"^  (\w+):\n(?:    .*\n)*?    command: (.*)$", _read("docker/compose.yaml"), re.M))

    assert processes == {name: command for name, command in started.items() if name not in ("migrate", "embedded")}
    assert shlex.split(processes["worker"]) == re.findall(r'"([^"]+)"', _read("docker/Dockerfile").split("CMD")[1])


def test_the_table_of_commands_is_complete() -> None:
    """docs/operations.md lists every command there is and no other."""
    documented = set(re.findall(r"^\| `worker ([a-z ]+)`", _read("docs/operations.md"), re.M))

    assert _commands() == documented


def test_the_readme_names_only_commands_there_are() -> None:
    """And every command but the one that only looks at the tables' revision, which docs/operations.md explains."""
    named = set(re.findall(r"`worker ((?:db |events (?=retry))?[a-z]+)", _read("README.md"))) | {"demo"}

    assert "worker demo" in _read("Makefile")
    assert _commands() - {"db current"} == named


def _commands() -> set[str]:
    group = typer.main.get_group(app)
    names: set[str] = set()
    for name, command in group.commands.items():
        inner = getattr(command, "commands", None)
        names |= {f"{name} {deeper}" for deeper in inner or ()}
        if not inner or getattr(command, "invoke_without_command", False):
            names.add(name)
    return names


def test_queues_are_durable_direct_and_of_the_default_exchange() -> None:
    """A flush of the broker can take no binding away."""
    for queue in queues.queues("p."):
        assert queue.durable
        assert "" == queue.exchange.name
        assert "direct" == queue.exchange.type
        assert queue.name == queue.routing_key
