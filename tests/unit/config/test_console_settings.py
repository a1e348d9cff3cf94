"""`[console]`: each mistake is one sentence that names the setting and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.config.settings import load_settings
from worker.domain.errors import ConfigurationError

HASH = "$argon2id$v=19$m=65536,t=3,p=4$Axs1kIXGxxM5VtF4w39rMw$nU74HjNRCNnTQUQFIAY7n3fYEbsUcTjLf9OybDT68Ow"


def written(tmp_path: Path, text: str) -> Path:
    """A settings file."""
    file = tmp_path / "worker.toml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[console]\nlistn = "x"', "console.listn: is not a setting; did you mean listen?"),
        ('[console.users.ada]\nrole = "boss"', "console.users.ada.role: has no such value; use one of 'reader',"),
        ('[console.users.ada]\nrole = "observer"', 'the role observer needs accounts = ["NAME"], or ["*"] for all'),
        ('[console.users.ada]\nrole = "operator"', 'the role operator needs accounts = ["NAME"], or ["*"] for all'),
        ('[console.users.ada]\nrole = "admin"\naccounts = ["hr"]', "names accounts, which make no difference"),
        ('[console.users.ada]\nrole = "admin"\npassword = "hunter2"', "password: is not an argon2id hash"),
        ('[console]\nproxies = ["proxy.local"]', "console.proxies: entry 1 is neither an address"),
        ('[console]\nproxies = ["10.0.0.1"]', "console: proxies needs hosts"),
        ('[console]\nuser_header = "X-User"', "console: user_header needs proxies"),
        ('[console]\nothers = "reader"', "console: others needs user_header or oidc"),
        ('[console]\nothers = "admin"', "console.others: has no such value; use one of 'reader'"),
        (
            '[console]\nhosts = ["a b"]',
            "console.hosts.0: does not look like console.example.com; write it in that form",
        ),
        ('[console.oidc]\nissuer = "http://x"\nclient_id = "c"', "console.oidc.issuer: is not an https address"),
        ('[console.oidc]\nissuer = "https://x"\nclient_id = "c"\nclient_secret = "s"', "only name the place"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    """That never repeats what stands there: it may be a password."""
    with pytest.raises(ConfigurationError) as wrong:
        load_settings(written(tmp_path, text))

    assert sentence in str(wrong.value)
    assert "hunter2" not in str(wrong.value)


@pytest.mark.parametrize("place", ["file", "env", "variable"])
def test_a_hash_may_be_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """In a file that only the console's process is given; others load the same settings without it."""
    user, file = '[console.users.ada]\nrole = "admin"\n', tmp_path / "ada"
    written_out = {"file": f'password = {{ file = "{file}" }}', "env": 'password = { env = "ADA" }', "variable": ""}
    if place == "variable":
        monkeypatch.setenv("WORKER_CONSOLE__USERS__ADA__PASSWORD__FILE", str(file))
    settings = load_settings(written(tmp_path, user + written_out[place]))

    assert settings.console.has_sign_in
    file.write_text(f"{HASH}\n")
    monkeypatch.setenv("ADA", HASH)
    assert settings.console.passwords == {"ada": HASH}
    assert "argon2" not in repr(settings)


def test_a_hash_in_a_variable_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was written there before."""
    monkeypatch.setenv("WORKER_CONSOLE__USERS__ADA__PASSWORD", HASH)

    settings = load_settings(written(tmp_path, '[console.users.ada]\nrole = "admin"'))

    assert settings.console.passwords == {"ada": HASH}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "console.users.ada.password names file {file}, which"),
        ("hunter2", "console.users.ada.password: file {file} does not hold an argon2id hash; write what"),
    ],
)
def test_a_place_without_a_hash_is_named(tmp_path: Path, text: str | None, sentence: str) -> None:
    """By the process that signs people in, and never with what stands there."""
    file = tmp_path / "ada"
    if text is not None:
        file.write_text(text)
    settings = load_settings(
        written(tmp_path, f'[console.users.ada]\nrole = "admin"\npassword = {{ file = "{file}" }}')
    )

    with pytest.raises(ConfigurationError) as wrong:
        _ = settings.console.passwords

    assert str(wrong.value).startswith(sentence.format(file=file))
    assert "hunter2" not in str(wrong.value)


def test_a_hash_is_not_shown(tmp_path: Path) -> None:
    """Neither by the settings nor by the user's own table."""
    settings = load_settings(written(tmp_path, f"[console.users.ada]\nrole = \"admin\"\npassword = '{HASH}'"))

    assert settings.console.passwords == {"ada": HASH}
    assert "argon2" not in repr(settings) + repr(settings.console) + repr(settings.console.users["ada"])


def test_what_the_environment_says_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for all settings."""
    monkeypatch.setenv("WORKER_CONSOLE__LISTEN", "127.0.0.1:1")

    assert load_settings(written(tmp_path, '[console]\nlisten = "127.0.0.1:2"')).console.listen == "127.0.0.1:1"
