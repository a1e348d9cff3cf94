"""What watches an installation looks where its figures are, for names that there are."""

from __future__ import annotations

import re
from typing import Any

from tests.support.deployment import ROOT, compose_file, documents, kubernetes, read


def _yaml(path: str) -> Any:
    [found] = documents(read(path))
    return found


def test_prometheus_scrapes_the_service_that_tells() -> None:
    """Its target is a service and the port at which it listens; its rules are where compose mounts them."""
    services = compose_file()["services"]
    config = _yaml("deploy/prometheus/prometheus.yml")

    (scrape,) = config["scrape_configs"]
    (target,) = scrape["static_configs"][0]["targets"]

    name, _, port = target.partition(":")
    assert services[name]["command"].endswith(f":{port}")
    assert {f"../deploy/prometheus/{one}:/etc/prometheus/{one}:ro" for one in config["rule_files"]} <= set(
        services["prometheus"]["volumes"]
    )


def test_grafana_is_given_its_source_and_its_dashboards() -> None:
    """Where provisioning says that they are, and where compose mounts them."""
    services = compose_file()["services"]
    (source,) = _yaml("deploy/grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    (provider,) = _yaml("deploy/grafana/provisioning/dashboards/worker.yaml")["providers"]

    mounted = dict(volume.split(":")[:2][::-1] for volume in services["grafana"]["volumes"])

    assert source["url"] == "http://prometheus:9090"
    assert mounted[provider["options"]["path"]] == "../deploy/grafana/dashboards"
    assert mounted["/etc/grafana/provisioning"] == "../deploy/grafana/provisioning"


def test_what_is_mounted_is_there() -> None:
    """A path that is not would be made by the engine, as an empty folder."""
    volumes = [volume for one in compose_file()["services"].values() for volume in one.get("volumes", ())]

    paths = {volume.split(":")[0] for volume in volumes if volume.startswith(".")}

    assert [path for path in paths if not (ROOT / "docker" / path).exists()] == []


def test_what_scales_on_a_figure_names_one_that_there_is() -> None:
    """In docs/monitoring.md with the label that it asks for; and it has a Deployment of its own."""
    page = read("docs/monitoring.md")
    objects = documents(read("deploy/kubernetes/operators/autoscaling.yaml"))

    queries = [one["spec"]["triggers"][0]["metadata"]["query"] for one in objects]

    asked = [re.fullmatch(r'sum\((\w+)\{(\w+)="\w+"\}\)', query) for query in queries]
    assert [one for one in asked if one is None or not re.search(rf"^\| `{one[1]}` \|.*`{one[2]}`", page, re.M)] == []
    assert len([one for one in kubernetes() if one.name.startswith("worker-")]) == len(objects)


def test_the_operators_rules_are_those_of_prometheus() -> None:
    """One file of alerts, for compose and for the operator; and the scrape goes to the port of the figures' service."""
    monitor, rules = documents(read("deploy/kubernetes/operators/monitoring.yaml"))

    services = [one for one in documents(read("deploy/kubernetes/metrics.yaml")) if one["kind"] == "Service"]

    assert _yaml("deploy/prometheus/rules.yaml") == rules["spec"]
    assert [services[0]["spec"]["ports"][0]["name"]] == [one["port"] for one in monitor["spec"]["endpoints"]]
    assert services[0]["metadata"]["labels"].items() >= monitor["spec"]["selector"]["matchLabels"].items()
