"""A missing module is told by the extra that brings it."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from worker.cli import EXIT_CONFIGURATION, main
from worker.config.extras import extra_of, naming_the_extra
from worker.domain.errors import ConfigurationError

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("celery.app", "worker"),
        ("markdown_it", "worker"),
        ("psycopg", "postgres"),
        ("pymysql", "mysql"),
        ("redis", "redis"),
        ("amqp", "rabbitmq"),
        ("argon2", "console"),
        ("flower", "flower"),
        ("opentelemetry.sdk", "otel"),
        ("shop", None),
        ("flask", None),
    ],
)
def test_the_smallest_extra_that_brings_it(module: str, extra: str | None) -> None:
    """An application's own modules, and those of the checkout's tests, are of none."""
    assert extra == extra_of(module)


def test_every_extra_is_read_from_what_is_installed() -> None:
    """The installation under test is of this very pyproject.toml; `all`, `dev` and `test` are never what is advised."""
    advised = {extra_of(re.split(r"[\[>]", one)[0].replace("-", "_")) for one in _own(PROJECT)}

    assert advised == {"worker", "postgres", "mysql", "redis", "rabbitmq", "console", "flower", "otel"}


def test_a_package_that_is_not_installed_has_no_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it is run from a copied folder."""
    monkeypatch.setattr("worker.config.extras.PACKAGE", "no-such-package")

    assert extra_of("celery") is None


def _own(project: dict[str, dict[str, list[str]]]) -> list[str]:
    extras = project["optional-dependencies"]
    asked = [one for name, of_it in extras.items() if name not in ("dev", "test") for one in of_it]
    return [one for one in asked if "delivery" not in one]


def test_the_commands_say_which_extra_they_need(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the person's language, without a traceback."""
    for name in [name for name in sys.modules if name.startswith("worker.cli.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)

    said = []
    for lang in ("en", "zh"):
        monkeypatch.setenv("WORKER_LANG", lang)
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == EXIT_CONFIGURATION
        said.append(capsys.readouterr().err)

    assert said == [
        "worker: typer is needed and not installed;"
        " run `pip install 'PATH[worker]'`, with the PATH of the wheel or checkout\n",
        "worker: 缺少所需的 typer；请运行 `pip install 'PATH[worker]'`（PATH 为 wheel 或源码目录的路径）\n",
    ]


def test_another_module_that_is_missing_stays_what_it_is() -> None:
    """A wrong name in an application is no extra of ours."""
    with pytest.raises(ModuleNotFoundError, match="no_such_shop"), naming_the_extra():
        import_module("no_such_shop")


def test_a_module_of_ours_is_a_configuration_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the kit's fixture raises it."""
    monkeypatch.setitem(sys.modules, "celery", None)

    with pytest.raises(ConfigurationError, match=r"celery is needed and not installed.*\[worker\]"), naming_the_extra():
        import_module("celery")
