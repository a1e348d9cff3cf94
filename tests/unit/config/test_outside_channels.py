"""Channels that other distributions add by entry points: taken, or said by name what is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker.accounts.sources import accounts_of
from worker.channels.registry import channel, forget_channels, names, unusable_accounts
from worker.config.accounts import AccountSource
from worker.config.channels import outside_entries
from worker.config.settings import load_settings
from worker.domain.errors import ConfigurationError

MODULE = """
from worker.channels.contract import Catalogue, Channel

class Acme(Channel):
    name = "acme"
    host = "https://api.acme.example"
    kinds = account_keys = frozenset()
    errcodes = Catalogue()
    checks = {}

    @staticmethod
    def key_problems(settings):
        return iter(())
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts distributions with one entry point each where Python looks for them."""

    def put(distribution: str, value: str, module: str = MODULE, name: str = "acme") -> None:
        folder = tmp_path / f"{distribution.replace('-', '_')}-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
        (folder / "entry_points.txt").write_text(f"[worker.channels]\n{name} = {value}\n")
        (tmp_path / f"{value.partition(':')[0]}.py").write_text(module)

    monkeypatch.syspath_prepend(tmp_path)
    forget_channels()
    yield put
    forget_channels()
    for module in [name for name, one in sys.modules.items() if str(tmp_path) in str(getattr(one, "__file__", ""))]:
        del sys.modules[module]


def accounts(tmp_path: Path) -> AccountSource:
    """An account of acme, and one of ours."""
    text = '[accounts.a]\nchannel = "acme"\n[accounts.hr]\nchannel = "wecom_app"\ncorpid = "ww1"\nagentid = 1\n'
    path = tmp_path / "worker.toml"
    path.write_text(text + 'secret = { env = "PATH" }\n')
    return accounts_of(load_settings(path))


def test_a_channel_from_outside_is_a_channel(install: Install, tmp_path: Path) -> None:
    """Its accounts have its host, and it stands among the names."""
    install("acme-channel", "acme_made:Acme")

    assert accounts(tmp_path).get("a").base_url == "https://api.acme.example"
    assert unusable_accounts(accounts(tmp_path)) == {}
    assert "acme" in names()


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("import nothing_of_the_kind", "acme_made:Acme of acme-channel cannot be imported (ModuleNotFoundError: "),
        ("x = 1 / 0", "acme_made:Acme of acme-channel cannot be imported (ZeroDivisionError: "),
        ("y = 1", "acme_made:Acme of acme-channel cannot be imported (AttributeError: "),
        (MODULE.replace("checks = {}", "x = 1"), "acme_made:Acme lacks checks; see docs/channels.md"),
        (MODULE + "    def __init__(self):\n        raise OSError\n", "acme_made:Acme cannot be made (OSError: )"),
        (MODULE.replace('"acme"', '"other"'), "acme_made:Acme is no Channel of the name 'acme'"),
    ],
)
def test_what_cannot_be_used_is_said_by_its_account_and_stops_no_other(
    install: Install, tmp_path: Path, module: str, said: str
) -> None:
    """With the package that is to be changed."""
    install("acme-channel", "acme_made:Acme", module)

    with pytest.raises(ConfigurationError) as caught:
        channel("acme")
    assert said in str(caught.value)
    assert "hr" not in unusable_accounts(accounts(tmp_path))
    assert said in unusable_accounts(accounts(tmp_path))["a"]
    assert "acme" not in names()


def test_a_channel_of_two_packages_is_neithers(install: Install, tmp_path: Path) -> None:
    """Which of both was meant nobody knows."""
    install("acme-channel", "acme_made:Acme")
    install("acme-other", "acme_again:Acme")

    said = unusable_accounts(accounts(tmp_path))["a"]
    assert "uninstall all but one" in said
    assert "acme-channel" in said
    assert "acme-other" in said


def test_ours_cannot_be_replaced(install: Install) -> None:
    """A package that tries is told of."""
    install("acme-channel", "acme_made:Acme", name="youdu")

    with pytest.warns(UserWarning, match="channel 'youdu' of acme-channel is ignored"):
        outside_entries()
    assert type(channel("youdu")).__name__ == "Youdu"


def test_a_channel_that_is_gone_is_named(install: Install, tmp_path: Path) -> None:
    """Its accounts say so; the others go on."""
    assert "channel 'acme' does not exist" in unusable_accounts(accounts(tmp_path))["a"]
