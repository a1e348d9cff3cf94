"""Accounts of which some are broken, each in another way, for tests and benches."""

from __future__ import annotations

from rig.stack import Stack
from worker.accounts.sources import accounts_of
from worker.config.accounts import FixedAccounts
from worker.config.settings import load_settings

WAYS = {
    "a key that there is not": ("agentid", "agent_id", "is not a setting of wecom_app"),
    "a secret that cannot be read": ("/secret", "/nowhere", "which cannot be read; check the path"),
    "a variable that is not set": ('{ file = "FOLDER/secret" }', '{ env = "NOTHING" }', "which is empty or not there"),
    "a secret that is written out": ('{ file = "FOLDER/secret" }', '"hunter2"', "settings only name the place"),
    "no such channel": ("wecom_app", "wecom_ap", "channel 'wecom_ap' does not exist"),
    "half a callback table": ("callback = true", 'callback = { token = { env = "HOME" } }', "aes_key: is missing"),
    "a secret that the vendor refuses": ("/secret", "/wrong", "40001"),
    "a proxy that is not there": ('base_url = "', 'proxy = "http://127.0.0.1:9"\nbase_url = "', "proxy_refused"),
    "a callback that nobody foresaw": ("callback = true", "callback = { token = { env = 5 } }", "token.env: input"),
    "disabled": ("callback = true", "callback = true\ndisabled = true", "is disabled"),
}
"""What is wrong: what of a table is replaced, by what, and what is said of it."""


class Accounts:
    """So many accounts `a0`, `a1`, ...; `every` so many-th of them is broken."""

    def __init__(self, count: int, every: int):
        self.count = count
        self.broken = {n: list(WAYS)[n // every % len(WAYS)] for n in range(every - 1, count, every)}
        """The number of each that is broken, and what is wrong with it."""

    def tables(self, stack: Stack | None = None, *, broken: bool) -> str:
        """The tables of all, as they are broken or mended; with the places of a stack, if given."""
        text = "".join(self._table(n, broken=broken) for n in range(self.count))
        return text if stack is None else filled(stack, text)

    def _table(self, n: int, *, broken: bool) -> str:
        lines = (
            f'[accounts.a{n}]\nchannel = "wecom_app"\ncorpid = "ww{n}"\nagentid = {n + 1}\ncallback = true\n'
            'secret = { file = "FOLDER/secret" }\nbase_url = "http://127.0.0.1:PORT"\n'
        )
        if not broken or n not in self.broken:
            return lines
        old, new, _ = WAYS[self.broken[n]]
        assert old in lines
        return lines.replace(old, new)

    def mend(self, stack: Stack) -> None:
        """Writes the settings file anew, with every account as it should be; at once, as a deployment does."""
        text = stack.config.read_text(encoding="utf-8")
        mended = text.replace(self.tables(stack, broken=True), self.tables(stack, broken=False))
        assert mended != text
        new = stack.config.with_suffix(".new")
        new.write_text(mended, encoding="utf-8")
        new.replace(stack.config)

    def as_a_producer_has_them(self, stack: Stack) -> FixedAccounts:
        """All of them, mended."""
        file = stack.folder / "producer.toml"
        file.write_text(self.tables(stack, broken=False), encoding="utf-8")
        live = accounts_of(load_settings(file))
        return FixedAccounts([live.get(f"a{n}") for n in range(self.count)])


def filled(stack: Stack, text: str) -> str:
    """The text with the places of a stack, as its settings file has it."""
    return text.replace("FOLDER", str(stack.folder)).replace("PORT", stack.vendor.url.rpartition(":")[2])
