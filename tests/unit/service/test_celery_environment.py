"""Celery takes nothing from the environment: our settings alone say what it does."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from celery.bin.celery import celery as command

from tests.unit.service.rooms import celery_restored
from worker.cli.setup.doctor import findings
from worker.config.settings import Settings
from worker.config.surroundings import SURROUNDINGS, surprises
from worker.service.bootsteps import EXIT_CONFIGURATION
from worker.service.celery_app import make_app, take_over_options

ELSEWHERE = "redis://elsewhere:6379/9"
OTHERS = {
    **dict.fromkeys(("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL"), ELSEWHERE),
    "CELERY_RESULT_BACKEND": ELSEWHERE,
    "CELERY_CONFIG_MODULE": "configuration_of_others",
    "CELERY_LOADER": "default",
    "CELERY_TASK_ALWAYS_EAGER": "1",
    "DJANGO_SETTINGS_MODULE": "settings_that_are_not_there",
}


def test_celerys_settings_are_ours_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment made for the application's own Celery, with the modules that it names."""
    settings = Settings(broker="redis://ours:6379/0")
    expected = _told(settings)
    text = f"broker_url = {ELSEWHERE!r}\ntask_always_eager = True\ntask_routes = {{'*': 'elsewhere'}}\n"
    for name in ("configuration_of_others", "celeryconfig"):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name, value in OTHERS.items():
        monkeypatch.setenv(name, value)

    assert expected == _told(settings)


def _told(settings: Settings) -> list[Any]:
    with celery_restored():
        app = make_app(settings)
        uris = [connection.as_uri() for connection in (app.connection_for_read(), app.connection_for_write())]
        urls = [app.conf.broker_url, app.conf.broker_read_url, app.conf.broker_write_url, app.conf.result_backend]
        return [
            uris,
            urls,
            type(app.backend),
            app.task_cls,
            json.dumps(app.conf.table(with_defaults=True), default=str),
        ]


@contextmanager
def _typed(*words: str) -> Iterator[click.Context]:
    """The context in which the `celery` command imports our app."""
    context = command.make_context("celery", ["-A", "worker.service.celery_app", *words], auto_envvar_prefix="CELERY")
    with context:
        yield context


def test_no_option_of_a_worker_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """CELERY_WORKER_POOL, CELERY_WORKER_PURGE and so on for every option of the command; what is typed holds."""
    worker: click.Command = command.commands["worker"]
    with celery_restored(), _typed("worker") as root:
        root.obj = SimpleNamespace(app=make_app(Settings()))
        take_over_options()
        expected = _parsed(worker, root)
        for option in worker.params:
            monkeypatch.setenv(f"CELERY_WORKER_{str(option.name).upper()}", "1")

        assert expected == _parsed(worker, root)


def _parsed(worker: click.Command, root: click.Context) -> dict[str, Any]:
    context = worker.make_context("worker", ["-P", "threads", "-c", "4", "-n", "w1@test"], parent=root)
    return {name: str(value) for name, value in context.params.items()}


@pytest.mark.parametrize(
    ("option", "value"),
    [("-b", ELSEWHERE), ("--broker", ELSEWHERE), ("--result-backend", ELSEWHERE), ("--config", "x"), ("--loader", "x")],
)
def test_an_option_that_a_setting_replaces_is_refused(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it is typed; it would change nothing, without a word."""
    with _typed(option, value, "worker"), pytest.raises(SystemExit) as ended:
        take_over_options()

    assert ended.value.code == EXIT_CONFIGURATION
    assert "is not used, because the settings say it; leave it out" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["BROKER_URL", "RESULT_BACKEND", "CONFIG_MODULE", "LOADER"])
def test_an_option_of_the_environment_is_no_reason_to_refuse(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be there for the application's own Celery."""
    monkeypatch.setenv(name, "elsewhere")

    with _typed("worker"):
        take_over_options()


def test_another_programs_command_keeps_its_variables() -> None:
    """Of an application whose command, of click, imports our app."""
    with click.Context(click.Command("shop"), auto_envvar_prefix="SHOP") as context:
        take_over_options()

    assert context.auto_envvar_prefix == "SHOP"


def test_doctor_names_each_variable_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what it does here, once; one that is empty is not set."""
    names = [name.replace("*", "WORKER_PURGE") for one in SURROUNDINGS if one.effect for name in one.names]
    for name in (*names, "https_proxy"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("WEB_CONCURRENCY", "")
    settings = Settings(database=f"sqlite:///{tmp_path}/none.db")

    told = [finding.text for finding in findings(lambda: settings) if finding.what == "environment"]

    assert Counter({*names, "https_proxy"} - {"WEB_CONCURRENCY"}) == Counter(text.partition(": ")[0] for text in told)
    assert told == list(surprises(os.environ))
