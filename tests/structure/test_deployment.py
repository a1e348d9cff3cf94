"""Queues, processes and commands are the same wherever they are written down."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from sqlalchemy import make_url

from rig.stacks import EMBEDDED, STACKS
from tests.support.deployment import UNITS
from worker.cli.commands import every_command
from worker.config.settings import Settings, load_settings
from worker.service import queues
from worker.service.web.console import require_safe

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("Procfile", "docker/compose.yaml", "docker/Dockerfile")
SECRETS = "/run/secrets/"
HASH = "$argon2id$v=19$m=65536,t=3,p=4$Axs1kIXGxxM5VtF4w39rMw$nU74HjNRCNnTQUQFIAY7n3fYEbsUcTjLf9OybDT68Ow"
OURS = {
    "migrate": ["database"],
    "worker": ["hr", "database", "broker"],
    "embedded": ["hr"],
    "receiver": ["hr_callback_token", "hr_callback_aes_key", "database"],
    "metrics": ["database"],
    "console": ["database", "console_ada"],
    "flower": ["broker", "flower"],
}
"""The secrets of each service of ours; tests/process/test_procfile.py runs on them."""


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _preset(name: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in _read(f"docker/{name}.env").splitlines())


def _settings(preset: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """As a container has them."""
    for name, value in preset.items():
        monkeypatch.setenv(name, value)
    return load_settings(ROOT / "docker" / "worker.toml")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The compose file."""
    found: dict[str, Any] = yaml.safe_load(_read("docker/compose.yaml"))
    return found


@pytest.fixture(scope="module")
def services(compose: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Its services."""
    found: dict[str, dict[str, Any]] = compose["services"]
    return found


@pytest.mark.parametrize("name", [name.replace("+", "-") for name in STACKS if name != EMBEDDED])
def test_every_stack_has_a_preset_of_services(
    services: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profiles a preset switches on are the hosts of its URLs, the settings take them, and no password is there."""
    preset = _preset(name)

    settings = _settings(preset, monkeypatch)

    hosts = [str(urlsplit(place.url).hostname) for place in (settings.database, settings.broker)]
    assert preset["COMPOSE_PROFILES"].split(",") == ["worker", *hosts]
    assert hosts == name.split("-")
    assert [[host] for host in hosts] == [services[host]["profiles"] for host in hosts]
    assert {urlsplit(place.url).password for place in (settings.database, settings.broker)} == {None}
    assert [f"{SECRETS}database", f"{SECRETS}broker"] == [
        str(place.password and place.password.file) for place in (settings.database, settings.broker)
    ]


def test_the_embedded_preset_keeps_its_outbox_in_a_volume(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process that delivers, whose file lies where the image lets it write and a volume is mounted."""
    preset = _preset("embedded")
    image = _read("docker/Dockerfile")

    settings = _settings(preset, monkeypatch)

    user = re.findall(r"^USER (\d+):(\d+)$", image, re.M)
    folder = str(Path(str(make_url(settings.database_url()).database)).parent)
    assert settings.broker_url() == preset["COMPOSE_PROFILES"] == "embedded"
    assert f"outbox:{folder}" in services["embedded"]["volumes"]
    assert [f"install -d -o {uid} -g {gid} {folder}" in image for uid, gid in user] == [True]
    assert (services["embedded"]["profiles"], services["embedded"]["command"][:9]) == (["embedded"], "worker up")


def test_the_presets_are_those_of_the_stacks() -> None:
    """No preset without tests, and the comment that says how to start names each of them."""
    presets = {path.name for path in (ROOT / "docker").glob("*.env")}

    assert {f"{name.replace('+', '-')}.env" for name in STACKS} == presets
    assert [preset for preset in presets if preset not in _read("docker/compose.yaml")] == []


def test_no_port_is_open_to_other_machines(services: dict[str, Any]) -> None:
    """Of a container any, of the Procfile all but the receiver's, which the vendor calls."""
    published = [port for service in services.values() for port in service.get("ports", ())]
    addresses = re.findall(r"^(\w+):.*(?:--host |--listen |--address=)([\d.]+)", _read("Procfile"), re.M)

    assert {port.split(":")[0] for port in published} == {"127.0.0.1"}
    here = dict.fromkeys(("metrics", "flower", "console"), "127.0.0.1")
    assert {"receiver": "0.0.0.0", **here} == dict(addresses)


def test_flower_asks_for_a_login_and_only_shows(services: dict[str, Any]) -> None:
    """Neither line starts without a login, and both say so."""
    lines = [services["flower"]["command"], _read("Procfile").partition("flower: ")[2]]

    assert [line for line in lines if "--read-only" not in line] == []
    assert [line for line in lines if not re.search(r'FLOWER_BASIC_AUTH="\$+\{\w+:\?', line)] == []


def test_flower_does_not_start_without_a_login() -> None:
    """The Procfile's line ends with a sentence before anything listens."""
    line = _read("Procfile").partition("flower: ")[2]

    ended = subprocess.run(["sh", "-c", line], env={"PATH": "/bin"}, capture_output=True, check=False)

    assert 0 != ended.returncode
    assert b"FLOWER_BASIC_AUTH: is the login of Flower" in ended.stderr


def test_the_consoles_settings_are_those_its_container_needs(services: dict[str, Any], tmp_path: Path) -> None:
    """The lines at the end of docker/worker.toml let it listen for a proxy; its container alone has the hash."""
    text = _read("docker/worker.toml").replace("# [console", "[console")
    text = re.sub(r"^# (?=(?:hosts|proxies|role|password) = )", "", text, flags=re.M)
    settings = tmp_path / "worker.toml"
    (tmp_path / "console_ada").write_text(HASH, encoding="utf-8")
    settings.write_text(text.replace(SECRETS, f"{tmp_path}/"), encoding="utf-8")
    asked = services["console"]["command"].split()[-1]

    console = load_settings(settings).console

    assert services["console"]["profiles"] == ["console"]
    assert console.passwords == {"ada": HASH}
    assert [network.num_addresses for network in console.networks] == [1], "a network would trust each container in it"
    require_safe(console, asked.rpartition(":")[0], asked)


def test_no_password_is_empty_or_written_down(compose: dict[str, Any], services: dict[str, Any]) -> None:
    """Every variable of a credential names the file of a secret, and the files are nowhere but in docker/secrets."""
    given = {
        name: str(value)
        for service in services.values()
        for name, value in service.get("environment", {}).items()
        if re.search("PASS|SECRET|TOKEN|KEY|AUTH", name) and name != "MARIADB_RANDOM_ROOT_PASSWORD"
    }

    assert [name for name in given if not name.endswith("_FILE")] == []
    assert [value for value in given.values() if not value.startswith(SECRETS) and value[:2] != "${"] == []
    assert {f"./secrets/{name}" for name in compose["secrets"]} == {one["file"] for one in compose["secrets"].values()}
    assert "docker/secrets/" in _read(".gitignore").splitlines()


def test_a_service_has_the_secrets_it_reads_and_no_others(services: dict[str, Any]) -> None:
    """A server those that its lines name, one of ours those that it needs to start and work."""
    ours = {name: service["secrets"] for name, service in services.items() if "build" in service}
    servers = {name: service for name, service in services.items() if name not in ours}

    assert ours == OURS
    for name, service in servers.items():
        lines = f"{service.get('environment', '')} {service.get('command', '')}"
        assert (name, set(service.get("secrets", ()))) == (name, set(re.findall(rf"{SECRETS}(\w+)", lines)))


def test_whatever_serves_is_started_again(services: dict[str, Any]) -> None:
    """All but the upgrade of the tables, which ends."""
    assert {name for name, one in services.items() if one.get("restart") != "unless-stopped"} == {"migrate"}
    restarts = {
        path.name: re.findall("^Restart=(.*)$", path.read_text(), re.MULTILINE) for path in UNITS.glob("*.service")
    }
    assert {name: one for name, one in restarts.items() if one != ["always"]} == {"im-delivery-migrate.service": []}


def test_the_images_context_is_what_it_is_built_of() -> None:
    """No secret, no history, no environment can get into a layer."""
    patterns = [line for line in _read(".dockerignore").splitlines() if line and not line.startswith("#")]
    copied = re.findall(r"^COPY (.*) \S+$", _read("docker/Dockerfile"), re.M)

    assert patterns[0] == "*"
    sources = {source for line in copied if not line.startswith("--from") for source in line.split()}
    assert {f"!{source}" for source in sources} == {one for one in patterns if one[0] == "!"}


@pytest.mark.parametrize("place", PLACES)
def test_every_place_consumes_every_queue(place: str) -> None:
    """The names of `queues.py`, all of them and no others."""
    named = re.findall(r"worker\.(?:urgent|normal|[a-z]+)(?=[,\s\"])", "\n".join(re.findall(r"-Q.*", _read(place))))

    assert set(queues.NAMES) == set(named)


def test_compose_starts_what_the_procfile_starts(services: dict[str, Any]) -> None:
    """The same commands; a container's worker is told apart by its host, and what listens in one is published."""
    processes = {
        name: line.replace(" -n worker-$$@%h", "")
        for name, line in re.findall(r"^(\w+): (.*)$", _read("Procfile"), re.MULTILINE)
    }

    started = {name: services[name]["command"] for name in processes}

    assert {name: _program(line) for name, line in processes.items()} == {
        name: [
            word.replace("0.0.0.0", "127.0.0.1") if name in ("metrics", "flower", "console") else word
            for word in _program(line)
        ]
        for name, line in started.items()
    }
    assert shlex.split(processes["worker"]) == re.findall(r'"([^"]+)"', _read("docker/Dockerfile").split("CMD")[1])
    ours = {name for name, service in services.items() if "build" in service}
    assert {*processes, "embedded", "migrate"} == ours


def _program(line: str) -> list[str]:
    """A command without the shell's lines that give it its login."""
    return re.sub(r".*(?=\bcelery -A)", "", line, flags=re.S).rstrip("'").split()


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/enqueue.md", "docs/settings.md"])
def test_the_first_pages_name_only_commands_there_are(page: str) -> None:
    """A command that was renamed is not left behind."""
    named = set(re.findall(r"(?:`|\$ )worker ((?:db |accounts )?[a-z]+)", _read(page)))

    assert "worker demo" in _read("Makefile")
    assert named <= _commands()


def _commands() -> set[str]:
    group = every_command()
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
        assert queue.exchange.name == ""
        assert queue.exchange.type == "direct"
        assert queue.name == queue.routing_key
