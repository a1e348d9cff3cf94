"""A stack with a receiver: people press cards in the fake vendor, and the events come in."""

from __future__ import annotations

from typing import Any

from rig.stack import ACCOUNT, SECRET, until
from rig.stacks import Make
from worker import ButtonCard, To, enqueue

TOKEN, KEY = "QDG6eK", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
UPDATE = "/cgi-bin/message/update_template_card"
CALLBACK = '{ token = { env = "CALLBACK_TOKEN" }, aes_key = { env = "CALLBACK_AES_KEY" } }'
HOOKS = 'hooks = "tests.process.callback_hooks"'


class Office:
    """A stack with a receiver whose address the fake vendor knows, and the hooks' log."""

    def __init__(
        self, make: Make, *, hooks: bool = True, more_env: dict[str, str] | None = None, **options: Any
    ) -> None:
        folder = make.folder
        folder.mkdir(parents=True, exist_ok=True)
        self.log, self.kill = folder / "hooks.log", folder / "kill"
        paths = {"HOOK_LOG": str(self.log), "HOOK_KILL": str(self.kill)}
        env = {"CALLBACK_TOKEN": TOKEN, "CALLBACK_AES_KEY": KEY, **paths, **(more_env or {})}
        self.stack = make(top=HOOKS if hooks else "", callback=CALLBACK, env=env, **options)
        self.receiver = self.stack.process("worker.cli", "receiver", "--port", "0")
        listening = "receiver listening on "
        self.stack.until_logged(listening)
        self.url = next(line for line in self.stack.logs().splitlines() if listening in line).split()[-1]

    def opens(self, **callbacks: Any) -> None:
        """Registers the address with the vendor."""
        app = {"corpid": "ww-canary-corp", "secret": SECRET, "agentid": 7, "callback_url": f"{self.url}/callback/hr"}
        app |= {"callback_token": TOKEN, "callback_aes_key": KEY}
        self.stack.vendor.post("settings", {"apps": [app], "callbacks": callbacks})

    def card(self, *people: str) -> str:
        """A card that was sent."""
        card = ButtonCard(main_title={"title": "leave"}, button_list=[{"text": "yes", "key": "yes"}])  # type: ignore[arg-type,list-item]
        with self.stack.database.writing() as connection:
            job = enqueue(connection, ACCOUNT, card, To(people), accounts=self.stack.accounts).id
        self.stack.until_settled()
        return job

    def press(self, person: str, key: str = "yes") -> dict[str, Any]:
        """Somebody presses."""
        found: dict[str, Any] = self.stack.vendor.post("press", {"person": person, "key": key})
        return found

    def until_heard(self, events: int) -> None:
        """Waits until so many events are done and nothing is left to send."""
        query = "select count(*) from worker_events where state = 2"
        until(lambda: self.stack.number(query) == events, f"{events} events are done", 120)
        self.stack.until_settled()

    def lines(self) -> list[str]:
        """What the hooks wrote."""
        return self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
