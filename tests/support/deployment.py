"""What each place of deployment starts, read out of its own file: Procfile, compose, systemd, Kubernetes.

Knows how a supervisor reads its file; knows nothing of how tests give a process its database and its ports. Wherever a
place puts secrets, they are under `SECRETS` here.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SECRETS = "/run/secrets"
UNITS = ROOT / "deploy/systemd"
PROGRAMS = "/opt/im-delivery-worker/bin/"
"""Where the units find the installation."""


@dataclass(frozen=True)
class Http:
    """A probe over HTTP."""

    port: str
    path: str


@dataclass(frozen=True)
class Start:
    """One process as its supervisor starts it."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: tuple[str, ...]
    """Files that it finds in `SECRETS`."""
    probes: tuple[tuple[str, ...] | Http, ...] = ()
    image: bool = True
    """It runs in the image, whose variables it has."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Everything else that its place says of it."""

    @property
    def ends(self) -> bool:
        """Whether it ends by itself: the upgrade of the tables."""
        return "db upgrade" in " ".join(self.command)

    @property
    def port(self) -> str | None:
        """Where it listens."""
        found = re.search(r"(?:--port[ =]|--listen [\d.]+:)(\d+)", " ".join(self.command))
        return found[1] if found else None


def read(path: str) -> str:
    """A file of the checkout."""
    return (ROOT / path).read_text(encoding="utf-8")


def documents(text: str) -> list[Any]:
    """The documents of a YAML text, read by libyaml: the reader that is written in Python takes ten times as long."""
    return list(yaml.load_all(text, yaml.CSafeLoader))


def compose_file() -> dict[str, Any]:
    """The compose file."""
    [found] = documents(read("docker/compose.yaml"))
    return dict(found)


def preset(name: str) -> dict[str, str]:
    """The variables of docker/NAME.env."""
    return _variables(read(f"docker/{name}.env"))


def procfile() -> list[Start]:
    """Its lines, each in a shell; with the secrets that the container of the same name has."""
    services = compose_file()["services"]
    lines = re.findall(r"^(\w+): (.*)$", read("Procfile"), re.MULTILINE)
    secrets = {name: tuple(services[name]["secrets"]) for name, _ in lines}
    return [Start(name, ("sh", "-c", f"exec {line}"), {}, secrets[name]) for name, line in lines]


def compose(stack: str) -> list[Start]:
    """The services of ours that a preset starts, with the preset's values."""
    given = preset(stack)
    profiles = given["COMPOSE_PROFILES"].split(",")
    return [
        Start(
            name,
            tuple(shlex.split(_filled(one["command"], given))),
            {key: _filled(value, given) for key, value in one["environment"].items()},
            tuple(one["secrets"]),
            (("sh", "-c", _filled(one["healthcheck"]["test"], given)),) if "healthcheck" in one else (),
            options=one,
        )
        for name, one in compose_file()["services"].items()
        if "build" in one and set(one.get("profiles", profiles)) & set(profiles)
    ]


def systemd() -> list[Start]:
    """Every unit, that of the workers for each class of queues."""
    classes = [one.stem.removeprefix("worker-") for one in sorted(UNITS.glob("worker-*.env"))]
    return [
        _unit(path, path.stem.removeprefix("im-delivery-") + instance, instance)
        for path in sorted(UNITS.glob("*.service"))
        for instance in (classes if path.stem.endswith("@") else [""])
    ]


def kubernetes() -> list[Start]:
    """Every container of the manifests."""
    paths = sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
    objects = (one for path in paths for one in documents(path.read_text(encoding="utf-8")))
    return [_container(one) for one in objects if one["kind"] in ("Deployment", "Job")]


def manifest_settings() -> str:
    """The worker.toml of the manifests."""
    [found] = documents(read("deploy/kubernetes/settings.yaml"))
    return str(found["data"]["worker.toml"])


def _container(document: Mapping[str, Any]) -> Start:
    pod = document["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {one["name"]: str(one["containerPort"]) for one in container.get("ports", ())}
    probes = [container[name] for name in ("startupProbe", "livenessProbe", "readinessProbe") if name in container]
    (secret,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    return Start(
        document["metadata"]["labels"]["app.kubernetes.io/component"],
        tuple(container["command"]),
        {one["name"]: one["value"] for one in container["env"]},
        tuple(item["path"] for item in secret["items"]),
        tuple(
            tuple(probe["exec"]["command"])
            if "exec" in probe
            else Http(ports[probe["httpGet"]["port"]], probe["httpGet"]["path"])
            for probe in probes
        ),
        options=pod,
    )


def _unit(path: Path, name: str, instance: str) -> Start:
    lines = _directives(path) + _directives(UNITS / f"{name.partition('@')[0]}-accounts.conf")
    every = [(key, value.replace("%i", instance).replace("%H", "host").replace("%d", SECRETS)) for key, value in lines]
    variables = _variables(read("deploy/systemd/environment"))
    if instance:
        variables |= _variables(read(f"deploy/systemd/worker-{instance}.env"))
    for key, value in every:
        if key == "Environment":
            variables |= dict(one.split("=", 1) for one in value.split())
    (command,) = [value for key, value in every if key == "ExecStart"]
    command = re.sub(r"(?<!\$)\$\{(\w+)\}", lambda found: variables[found[1]], command).replace("$$", "$")
    credentials = [value.partition(":")[0] for key, value in every if key == "LoadCredential"]
    return Start(name, tuple(shlex.split(command)), variables, tuple(credentials), image=False, options=dict(every))


def _directives(path: Path) -> list[tuple[str, str]]:
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [(key, value) for key, value in re.findall(r"^([A-Za-z]+)=(.*)$", text, re.M)]


def _variables(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def _filled(text: str, given: Mapping[str, str]) -> str:
    """Compose's own variables with their values; a doubled dollar is one."""
    filled = re.sub(r"(?<!\$)\$\{(\w+)(?::?[-?][^}]*)?\}", lambda found: given.get(found[1], ""), text)
    return filled.replace("$$", "$")
