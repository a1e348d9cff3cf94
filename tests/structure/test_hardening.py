"""What runs has no right that it does not need, a limit for what it takes, and time to end: in every place."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from helm_python.chart import Chart, lint

from rig.databases import Service, lack
from tests.support import deployment
from tests.support.deployment import ROOT, UNITS, Start, compose_file, documents, read
from tools import manifests
from worker.config.settings import Settings
from worker.service import queues

HASH = "$argon2id$v=19$m=65536,t=3,p=4$Axs1kIXGxxM5VtF4w39rMw$nU74HjNRCNnTQUQFIAY7n3fYEbsUcTjLf9OybDT68Ow"

DRAIN_S = Settings().delivery.call_deadline_s + Settings().delivery.deadline_margin_s
"""The longest that a worker takes to end."""
PLAIN = sorted(path for path in (ROOT / "deploy/kubernetes").rglob("*.yaml"))
ANALYZE = Service("systemd-analyze", "PATH", "", "apt-get install systemd")
MOST_EXPOSED = 1.5
"""Of systemd's ten; what is left is the network, which a sender needs."""


def _documents(*paths: Path) -> list[dict[str, Any]]:
    return [one for path in paths for one in documents(path.read_text(encoding="utf-8"))]


DOCUMENTS = _documents(*PLAIN)
PODS = [one for one in DOCUMENTS if one["kind"] in ("Deployment", "Job")]


@pytest.mark.parametrize("name", compose_file()["services"])
def test_a_container_has_no_rights_and_limits(name: str) -> None:
    """A read-only file system, no capability, no way to more; processor, memory and processes have a limit."""
    service = compose_file()["services"][name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory", "pids"}
    assert ("healthcheck" in service) == (name != "migrate")


@pytest.mark.parametrize("document", PODS, ids=lambda one: one["metadata"]["name"])
def test_a_pod_has_no_rights_and_limits(document: dict[str, Any]) -> None:
    """What the restricted profile of Kubernetes asks, a read-only file system, and no token of the cluster."""
    pod = document["spec"]["template"]["spec"]
    (container,) = pod["containers"]

    assert tuple(pod["securityContext"][key] for key in ("runAsNonRoot", "runAsUser", "seccompProfile")) == (
        True,
        10001,
        {"type": "RuntimeDefault"},
    )
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["automountServiceAccountToken"] is False
    # A Service named `worker` would otherwise give every pod variables that begin with WORKER_.
    assert pod["enableServiceLinks"] is False
    assert set(container["resources"]) == {"limits", "requests"}


def _units(folder: Path) -> list[Path]:
    """The units as they would be installed, with this environment's programs in the place of the installation's."""
    programs = f"{Path(sys.executable).parent}/"
    for path in UNITS.glob("*.service"):
        text = path.read_text(encoding="utf-8").replace(deployment.PROGRAMS, programs)
        (folder / path.name.replace("@", "@urgent")).write_text(text, encoding="utf-8")
    return sorted(folder.glob("*.service"))


def _analyze(*words: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("systemd-analyze") is None:
        lack(ANALYZE, "this machine has no systemd-analyze to judge units with")
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)


@pytest.mark.programs
def test_systemd_takes_the_units_and_calls_them_hardened(tmp_path: Path) -> None:
    """`systemd-analyze verify` says nothing, and `security` at most 1.5 of each."""
    units = [str(path) for path in _units(tmp_path)]

    verified = _analyze("verify", "--man=no", *units)
    judged = [_analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSED * 10:.0f}", one) for one in units]

    assert (verified.returncode, verified.stderr) == (0, "")
    assert [one.stdout.splitlines()[-1] for one in judged if one.returncode] == []


@pytest.mark.parametrize("start", deployment.systemd(), ids=lambda one: one.name)
def test_a_unit_is_told_no_secret_but_by_a_credential(start: Start) -> None:
    """Each variable for a file names one that the unit has, and each that it has is named."""
    told = f"{start.command} {start.environment}"

    named = set(re.findall(r"/run/secrets/(\w+)", told))

    assert set(start.secrets) == named
    assert ("oneshot" if start.ends else "exec") == start.options["Type"]


def test_whoever_sends_has_time_to_end() -> None:
    """Longer than a call's deadline and its margin, before a supervisor kills."""
    services = compose_file()["services"]
    graces = {
        **{f"compose {name}": services[name]["stop_grace_period"].rstrip("s") for name in ("worker", "embedded")},
        **{one.name: one.options["TimeoutStopSec"] for one in deployment.systemd() if one.name.startswith("worker@")},
        **{
            one.name: one.options["terminationGracePeriodSeconds"]
            for one in deployment.kubernetes()
            if one.name.startswith("worker-")
        },
    }

    assert len(graces) == 2 + 3 + 4
    assert {name: grace for name, grace in graces.items() if float(grace) <= DRAIN_S} == {}


@pytest.mark.parametrize("place", [deployment.systemd, deployment.kubernetes], ids=lambda one: one.__name__)
def test_the_classes_together_take_from_every_queue(place: Any) -> None:
    """Each queue of `queues.py` once, and no other."""
    taken = [name for one in place() for name in re.findall(r"-Q (\S+)", " ".join(one.command))]

    assert sorted(queues.NAMES) == sorted(",".join(taken).split(","))


def test_the_manifests_are_the_chart() -> None:
    """`make manifests` writes them; what is for the external secrets operator is by hand."""
    written = dict(manifests.manifests())

    assert {path: path.read_text(encoding="utf-8") for path in PLAIN if "external" not in path.name} == written


def test_the_tables_come_before_a_release_also_on_the_way_back() -> None:
    """Helm runs no hook of an upgrade before a rollback, which the page says the older release's Job can end."""
    job = documents(read("deploy/kubernetes/migrate.yaml"))[0]

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade,pre-rollback"


def test_a_process_with_a_user_of_its_own_gets_its_own_url_and_password() -> None:
    """And no other process gets either."""
    url = "postgresql+psycopg://receiver@postgres:5432/worker"
    own, other = f'value: "{url}"', "key: database-receiver, path: database"

    found = manifests.rendered({"databases": {"receiver": url}})

    assert [name for name, text in found.items() if own in text] == ["receiver.yaml"]
    assert [name for name, text in found.items() if other in text] == ["receiver.yaml"]


def test_the_chart_starts_the_newest_release() -> None:
    """The newest of CHANGELOG.md, or the first one while none is out: of its images, of its labels and of itself."""
    releases = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    [chart] = documents(read("deploy/helm/im-delivery-worker/Chart.yaml"))

    assert {chart["version"], chart["appVersion"]} == {(*releases, "0.1.0")[1]}


def test_helm_finds_nothing_wrong() -> None:
    """Helm's own lint; it would only like an icon."""
    found = lint(manifests.CHART)

    assert found["errors"] == []
    assert [one["error"] for one in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize(
    "values",
    [
        {"broker": "redis://worker:hunter2@redis:6379/0"},
        {"broker": "amqp://worker@one/im;amqp://worker:hunter2@two/im"},
        {"database": "sqlite:////var/lib/worker/outbox.db"},
        {"database": "postgresql+psycopg://worker:hunter2@postgres/worker"},
        {"databases": {"receiver": "postgresql+psycopg://receiver:hunter2@postgres/worker"}},
        {"databases": {"reciever": "postgresql+psycopg://receiver@postgres/worker"}},
        {"settings": f'[console.users.ada]\nrole = "admin"\npassword = "{HASH}"\n'},
        {"image": {"repository": "worker", "digest": "sha256:short"}},
        {"workers": {"urgent": {"queues": []}}},
        {"terminationGracePeriodSeconds": int(DRAIN_S)},
        {"replicas": 3},
    ],
    ids=str,
)
def test_the_chart_refuses_values_that_cannot_be(values: dict[str, Any]) -> None:
    """Passwords in URLs, hashes of them in the ConfigMap of every pod, a file as outbox of pods, unknown keys."""
    with Chart.load(manifests.CHART) as chart, pytest.raises(ValueError, match=next(iter(values))):
        chart.validate_schema(values)


def test_the_chart_takes_a_database_of_several_hosts() -> None:
    """As the page on databases writes them, behind the ?."""
    (url,) = re.findall(r"`(postgresql\S+target_session_attrs=\S+)`", read("docs/databases.md"))

    with Chart.load(manifests.CHART) as chart:
        chart.validate_schema({"database": url})


def test_the_chart_takes_a_broker_of_several_nodes() -> None:
    """Each a URL, separated by ; as the page on stacks says."""
    with Chart.load(manifests.CHART) as chart:
        chart.validate_schema({"broker": "amqp://worker@one:5672/im;amqp://worker@two:5672/im"})


@pytest.mark.parametrize("path", [one for one in PLAIN if one.parent.name != "operators"], ids=lambda one: one.stem)
def test_kubernetes_takes_the_manifests(path: Path) -> None:
    """By the schemas of its newest release, and no key that it does not know."""
    version = kubernetes_validate.latest_version()

    for document in _documents(path):
        kubernetes_validate.validate(document, version, strict=True)


def test_each_pod_has_what_selects_it() -> None:
    """A policy of the network for every pod, a budget for what has to stay, and what scales names what is there."""
    components = {one["metadata"]["labels"]["app.kubernetes.io/component"]: one for one in PODS}
    policies = [
        value
        for one in DOCUMENTS
        if one["kind"] == "NetworkPolicy"
        for value in one["spec"]["podSelector"]["matchExpressions"][0]["values"]
    ]
    budgets = [
        one["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"]
        for one in DOCUMENTS
        if one["kind"] == "PodDisruptionBudget"
    ]
    scaled = {one["spec"]["scaleTargetRef"]["name"] for one in DOCUMENTS if one["kind"] == "ScaledObject"}

    assert sorted(components) == sorted(policies)
    assert sorted(set(components) - {"metrics", "migrate", "console"}) == sorted(budgets)
    assert {one["metadata"]["name"] for name, one in components.items() if name.startswith("worker-")} == scaled


@pytest.mark.parametrize(("settings", "ports"), [("", [53, 53, 5432]), ("[console.oidc]", [53, 53, 5432, 443])])
def test_a_console_reaches_its_database_and_its_provider(settings: str, ports: list[int]) -> None:
    """By the network's policy nothing else, and where no OpenID provider is set not that either."""
    policies = documents(manifests.rendered({"settings": settings})["networkpolicy.yaml"])

    [ways] = [one["spec"]["egress"] for one in policies if one["metadata"]["name"].endswith("-console")]

    assert ports == [port["port"] for way in ways for port in way["ports"]]


def test_the_vault_has_every_secret_that_a_pod_is_given() -> None:
    """The example for the external secrets operator, and the values of the chart."""
    (external,) = [one for one in DOCUMENTS if one["kind"] == "ExternalSecret"]

    used = {name for one in deployment.kubernetes() for name in one.secrets}

    assert used == {one["secretKey"] for one in external["spec"]["data"]}


def test_the_probes_are_those_of_the_page() -> None:
    """docs/monitoring.md shows what the chart has."""
    shown = [block for block in re.findall(r"```yaml\n(.*?)```", read("docs/monitoring.md"), re.S) if "Probe" in block]
    workers, serving = [one for block in shown for one in documents(block)]
    pods = {one.name: one.options["containers"][0] for one in deployment.kubernetes()}

    assert workers == {name: pods["worker-urgent"][name] for name in workers}
    plain = {name: {**probe, "httpGet": {**probe["httpGet"], "port": "http"}} for name, probe in serving.items()}
    assert plain == {name: pods["receiver"][name] for name in plain}
