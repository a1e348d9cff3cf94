"""The README's snippets run as they are written."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from sqlalchemy import String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import worker
from tests.support.producing import an_engine
from worker.config.accounts import accounts_of
from worker.config.settings import load_settings

README = (Path(__file__).parents[2] / "README.md").read_text()
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


class Base(DeclarativeBase):
    """An application's own tables."""


class Order(Base):
    """An application's own row."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(40))


def block(language: str) -> str:
    """The README's only block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    return str(found)


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The README's worker.toml, in a folder with the README's picture."""
    path = tmp_path / "worker.toml"
    path.write_text(block("toml"))
    (tmp_path / "menu.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HR_SECRET", "not-so-secret")
    return path


def test_the_settings_of_the_readme_load(sample: Path) -> None:
    """Every key of the example is known, and the account is usable."""
    settings = load_settings(sample)

    account = accounts_of(settings).get("hr")

    assert tomllib.loads(block("toml"))["accounts"]["hr"]["corpid"] == account.settings["corpid"]
    assert account.secret is not None
    assert "not-so-secret" == account.secret.read()


def test_the_enqueue_example_runs(sample: Path, database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """An application that pastes the example gets three jobs, a recall and an update, and can read the first back."""
    engine = an_engine(database_url)
    Base.metadata.create_all(engine)
    worker.configure(sample)

    try:
        exec(compile(block("python"), "README.md", "exec"), {"engine": engine, "Order": Order})
        with engine.connect() as connection:
            kinds = sorted(job.kind for job in worker.list_jobs(connection))
    finally:
        worker.configure(None)
        Base.metadata.drop_all(engine)
        engine.dispose()

    assert "open 0 0\n" == capsys.readouterr().out
    assert ["recall", "send", "send", "send", "update_card"] == kinds
