"""A provider's suite and two customers of the simulated vendor, over real HTTP, with a receiver at its address."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from rig.stack import until
from tests.pipeline.webhook_site import made
from tests.support.control import control
from tests.support.listening import listening
from tests.support.runtime import Site, planted
from worker.channels.registry import channel
from worker.config.settings import Settings
from worker.domain.account import Account, Secret, TokenState
from worker.hooks.callbacks import CallbackStore
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.service.web.receiver import Receiver
from worker.transport.grants import ChangedCodes, CodeExchanges
from worker.transport.http import SocketTransport
from worker.transport.token_probe import TokenProbe
from worker.transport.tokens import Tokens
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings, SuiteRules, SuiteSettings

SUITE, SECRET, PROVIDER = "wwsuite", "suite-s3cret", "wwprovider"
TOKEN, AES_KEY = "QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
SUITE_TOKEN = "/cgi-bin/service/get_suite_token"
CORP_TOKEN = "/cgi-bin/service/get_corp_token"
PERMANENT = "/cgi-bin/service/get_permanent_code"


def a_suite(url: str, secret: str = SECRET, before: str = "", **settings: Any) -> Account:
    """The suite's account; `before`: the secret that was valid before."""
    callback = {"token": Secret(lambda: TOKEN), "aes_key": Secret(lambda: AES_KEY)}
    given = {"suite_id": SUITE, "callback": callback, **settings}
    previous = a_suite(url, before) if before else None
    return Account("oursuite", "wecom_suite", url, given, Secret(lambda: secret), previous_credentials=previous)


def a_customer(url: str, name: str = "acme", agentid: int = 7, **fields: Any) -> Account:
    """The account of a customer's app, without a secret of its own."""
    given = {"corpid": f"ww{name}", "agentid": agentid, "suite": "oursuite", **fields.pop("settings", {})}
    return Account(name, fields.pop("channel", "wecom_app"), url, given, **fields)


@dataclass
class SuiteSite:
    """A process's runtime, the receiver, and the vendor."""

    site: Site
    url: str
    clock: DrivenClock
    processes: list[Tokens] = field(default_factory=list)
    changed: dict[int, ChangedCodes] = field(default_factory=dict)

    def process(self) -> Tokens:
        """The tokens of another process on the same rows."""
        name, runtime = f"p{len(self.processes)}", self.site.runtime
        tokens = Tokens(
            runtime.database,
            runtime.transport,
            runtime.web,
            settings=runtime.settings,
            incarnation=lambda: name,
            monotonic=self.site.ticks,
            rng=random.Random(3),
            pause=self.site.pauses.append,
            accounts=self.site.accounts,
        )
        self.processes.append(tokens)
        return tokens

    def token(self, tokens: Tokens, name: str = "acme") -> TokenState:
        """What a process's tokens say of an account."""
        account = self.site.accounts.get(name)
        return tokens.get_or_fetch(account, channel(account.channel))

    def act(self, act: str, **given: Any) -> dict[str, Any]:
        """Something that the vendor or a corp does; waits until its callback was answered."""
        before = len(control(self.url, "callbacks")["callbacks"])
        shown: dict[str, Any] = control(self.url, "suite", {"act": act, "suite_id": SUITE, **given})
        if shown.get("state") != "open":
            return shown
        answered: dict[str, Any] = until(lambda: self._answered(before), f"{act} is answered")
        return answered

    def _answered(self, n: int) -> dict[str, Any] | None:
        told: dict[str, Any] = control(self.url, "callbacks")["callbacks"][n]
        return told if told["state"] != "open" else None

    def authorise(self, corpid: str = "wwacme", agentid: int = 7, **given: Any) -> None:
        """A corp authorises the app, and the leading process exchanges the code."""
        self.act("authorise", corpid=corpid, agentid=agentid, **given)
        self.exchange()

    def send(self, content: str = "hello", account: str = "acme") -> str:
        """A text of a customer's app."""
        return self.site.send(content, account=account)

    def exchange(self) -> None:
        """A turn of the leading process's exchange."""
        runtime = self.site.runtime
        CodeExchanges(runtime.database, runtime.accounts, runtime.tokens, runtime.transport).turn()

    def look(self) -> None:
        """What every process does now and then."""
        runtime = self.site.runtime
        for tokens in (runtime.tokens, *self.processes):
            changed = self.changed.setdefault(id(tokens), ChangedCodes(runtime.database, tokens))
            changed.turn()
            changed.turn()
        TokenProbe(runtime.database, runtime.accounts, runtime.tokens).turn()

    def advance(self, seconds: float) -> None:
        """Moves every clock, the vendor's too."""
        self.site.advance(seconds)
        control(self.url, "clock", {"advance_s": seconds})

    def calls(self, path: str) -> list[dict[str, Any]]:
        """The calls of a path."""
        return made(self.url, path)

    def bodies(self, path: str) -> list[dict[str, Any]]:
        """Their bodies."""
        return [json.loads(call["body"]) for call in self.calls(path)]

    def code_of(self, corpid: str = "wwacme") -> str:
        """The permanent code that the vendor gave for a corp."""
        return str(control(self.url, "suite")["suites"][SUITE]["authorisations"][corpid]["permanent_code"])


@contextmanager
def suite_site(database: Database, clock: DrivenClock, rules: dict[str, Any] | None = None) -> Iterator[SuiteSite]:
    """The whole."""
    with (
        running(SimulatorSettings(suite=SuiteRules(**(rules or {})))) as url,
        closing(SocketTransport()) as transport,
    ):
        control(url, "clock", {"set": clock.micros / 1e6, "frozen": True})
        accounts = [a_suite(url), a_customer(url), a_customer(url, "globex", 8)]
        with planted(database, clock, accounts=accounts, transport=transport) as site:
            here = SuiteSite(site, url, clock)
            with listening(_receiver(site, url, clock).app) as address:
                known = SuiteSettings(
                    suite_id=SUITE,
                    secret=SECRET,
                    provider_corpid=PROVIDER,
                    callback_url=f"{address}/callback/oursuite",
                    callback_token=TOKEN,
                    callback_aes_key=AES_KEY,
                )
                control(url, "settings", {"suite": {"known": [known.model_dump()]}})
                yield here


def _receiver(site: Site, url: str, clock: DrivenClock) -> Receiver:
    account = a_suite(url)
    door = channel(account.channel).callback_verifier(account, {"token": TOKEN, "aes_key": AES_KEY}, 300)
    store = CallbackStore(site.database, Settings(hooks="shop.hooks"), site.accounts).store
    return Receiver({"oursuite": door}.get, store, now=lambda: clock.micros / 1e6)
