"""What the images are made of: every file by its hash, every image by its digest, mirrors by arguments."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("docker/requirements.txt", "docker/build-requirements.txt")


def _read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def pins(path: str) -> dict[str, str]:
    """The versions that a file pins, by the plain names of the packages."""
    found = re.findall(r"^([\w.-]+)==([^\s\\]+)", _read(path), re.M)
    return {re.sub("[-_.]+", "-", name).lower(): version for name, version in found}


@pytest.mark.parametrize("path", LOCKS)
def test_what_the_image_installs_is_what_is_tested(path: str) -> None:
    """The versions of constraints.txt, each with hashes and without an address; `make requirements` writes them."""
    text = _read(path)

    locked = pins(path)

    assert {name: pins("constraints.txt").get(name) for name in locked} == locked
    assert [block for block in re.split(r"\n(?=\w)", text.strip()) if "--hash=sha256:" not in block] == []
    assert re.findall(r"^.*(?:://|--index-url|--find-links).*$", text, re.M) == []


def test_the_image_installs_all_that_the_project_asks_for() -> None:
    """With every extra that is not for tests or development; some extras name others of this very project."""
    project = tomllib.loads(_read("pyproject.toml"))["project"]
    extras = {name: asked for name, asked in project["optional-dependencies"].items() if name not in ("test", "dev")}
    asked = [*project["dependencies"], *(one for name in extras for one in extras[name])]

    names = {re.sub("[-_.]+", "-", re.split(r"[\[<>=~;\s]", one)[0]).lower() for one in asked}

    assert {project["name"]} == names - pins("docker/requirements.txt").keys()
    assert extras.keys() - {"all"} - {"worker"} == set(re.split(r"[\[\],]", extras["all"][0])[1:-1])
    builders = tomllib.loads(_read("pyproject.toml"))["build-system"]["requires"]
    assert builders == ["hatchling", "hatch-vcs"]
    assert {*builders} <= pins("docker/build-requirements.txt").keys()


def test_every_image_is_pinned_and_comes_through_the_mirror() -> None:
    """A tag for people, a digest for machines, and one place to say where images come from."""
    services = yaml.safe_load(_read("docker/compose.yaml"))["services"]
    images = [one["image"] for one in services.values() if "build" not in one]
    (base,) = re.findall(r"^ARG PYTHON=(.*)$", _read("docker/Dockerfile"), re.M)

    assert [one for one in [*images, base] if not re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", one)] == []
    assert [one for one in images if not one.startswith("${REGISTRY:-docker.io}/")] == []
    assert set(re.findall(r"^FROM (\S+)", _read("docker/Dockerfile"), re.M)) == {"${REGISTRY}/library/${PYTHON}"}


def test_the_image_is_built_in_two_stages_and_runs_as_a_number() -> None:
    """What builds stays behind, and the user is one that Kubernetes can judge."""
    image = _read("docker/Dockerfile")

    build, runs = image.split("\nFROM ")[1:]

    assert build.count("--require-hashes") == 2
    assert "USER 10001:10001" in runs
    assert "pip uninstall" in runs
    assert "pip install" not in runs
    assert "COPY --from=build /opt/worker /opt/worker" in runs


def test_the_applications_image_names_a_module_of_hooks() -> None:
    """The one beside it, with a hook in it."""
    image = _read("docker/application/Dockerfile")

    (name,) = re.findall(r"WORKER_HOOKS=(\w+)", image)

    assert f"COPY {name}.py " in image
    assert "\n@on_job_done" in _read(f"docker/application/{name}.py")
    # In a process of its own: a hook stays known to the process that has imported it.
    subprocess.run([sys.executable, "-c", f"import {name}"], cwd=ROOT / "docker/application", check=True)
