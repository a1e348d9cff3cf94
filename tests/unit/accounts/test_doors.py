"""The receiver's side of accounts: a wrong one is told of and asked again, a changed one is followed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from tests.channels.callback_samples import AES_KEY, NOW, TOKEN, press, sent
from tests.support.asgi import Answer, asked
from tests.support.runtime import ChangingAccounts, Ticks, an_account
from worker.domain.account import Account, Secret
from worker.domain.callbacks.inbound import Inbound
from worker.domain.errors import ConfigurationError
from worker.hooks.verifiers import VERIFIER_S, Verifiers
from worker.service.web.receiver import Receiver


def account(name: str = "hr", token: str = TOKEN, aes_key: str = AES_KEY) -> Account:
    """An account with a callback address."""
    callback = {"token": Secret(lambda: token), "aes_key": Secret(lambda: aes_key)}
    return an_account(name, settings={"callback": callback})


class Desk:
    """A receiver of accounts that change, and what it stored."""

    def __init__(self, *accounts: Account):
        self.accounts, self.ticks, self.stored = ChangingAccounts(accounts), Ticks(), list[str]()
        doors = Verifiers(self.accounts, 300, self.ticks)
        self.receiver = Receiver(doors.of, self.store, now=lambda: NOW)

    def store(self, name: str, inbound: Inbound) -> bool:
        """Notes who was called back."""
        self.stored.append(name)
        return True

    def post(self, name: str = "hr") -> Answer:
        """A press of a card."""
        one = sent(press("task"))
        return asked(self.receiver.app, "POST", f"/callback/{name}", one.query, one.body)


def test_a_wrong_account_is_asked_again_and_others_are_served() -> None:
    """503, so that the vendor repeats it; one line of the log, without a secret; mended, it is taken."""
    desk = Desk(account(), account("ops", aes_key="hunter2"))
    with capture_logs() as lines:
        assert [desk.post().status, desk.post("ops").status, desk.post("ops").status] == [200, 503, 503]
    [told] = [line for line in lines if line["event"] == "account_unusable"]
    assert told["account"] == "ops"
    assert "accounts.ops.callback.aes_key: the EncodingAESKey must" in told["reason"]
    assert "hunter2" not in repr(lines)

    desk.accounts.replace(account(), account("ops"))
    assert desk.post("ops").status == 200
    assert desk.stored == ["hr", "ops"]


def test_what_keeps_callbacks_from_being_stored_is_told_once() -> None:
    """Such as the secret with which a suite's tickets are sealed."""
    missing = "accounts.hr has no secret; this channel needs one"

    class Unsealed(Desk):
        def store(self, name: str, inbound: Inbound) -> bool:
            raise ConfigurationError(missing)

    desk = Unsealed(account())
    with capture_logs() as lines:
        assert [desk.post().status, desk.post().status] == [503, 503]

    assert [missing] == [line["reason"] for line in lines if line["event"] == "account_unusable"]


def test_an_account_that_is_not_there_is_404() -> None:
    """Also one that was there a moment ago, and one without a callback address."""
    desk = Desk(account(), an_account("silent"))
    assert [desk.post(name).status for name in ("hr", "nobody", "silent")] == [200, 404, 404]
    desk.accounts.replace(an_account("silent"))
    assert desk.post().status == 404


def test_a_secret_is_read_again_after_a_while() -> None:
    """A file may hold another one by then."""
    tokens = ["old", TOKEN]
    own = account()
    callback = {**own.settings["callback"], "token": Secret(lambda: tokens.pop(0))}
    desk = Desk(replace(own, settings={**own.settings, "callback": callback}))
    assert [desk.post().status, desk.post().status] == [403, 403]
    desk.ticks.advance(VERIFIER_S + 1)
    assert desk.post().status == 200


@pytest.mark.parametrize("is_new", [True, False])
def test_in_a_rotation_both_generations_are_read(is_new: bool) -> None:
    """Whichever of the two the vendor's page has; a third one is refused."""
    ours, other = account(), account(token="another token")
    both = replace(ours, previous_credentials=other) if is_new else replace(other, previous_credentials=ours)
    assert Desk(both).post().status == 200
    assert Desk(replace(other, previous_credentials=account(token="a third"))).post().status == 403


def test_a_receiver_without_any_callback_address_does_not_start() -> None:
    """But one whose only account is wrong does: it may be mended."""
    with pytest.raises(ConfigurationError, match="no account has a callback address"):
        Verifiers(ChangingAccounts([an_account()]), 300).require_one()
    Verifiers(ChangingAccounts([account(aes_key="wrong")]), 300).require_one()
