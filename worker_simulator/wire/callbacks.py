"""Callbacks on their way to the address an app registered: sealed anew for every try, repeated as the vendor does.

Does not know what an event says.
"""

import asyncio
import secrets
import ssl
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from worker.crypto.envelope import RANDOM_BYTES, EnvelopeError
from worker_simulator.clock import Clock
from worker_simulator.settings import CallbackSettings, SimulatorSettings
from worker_simulator.wire.call_log import CallLog


@dataclass(frozen=True, slots=True)
class CallbackReply:
    """What came back."""

    status: int
    body: bytes


async def ask(method: str, url: str, body: bytes) -> CallbackReply:
    """Asks and reads the whole answer; OSError or ValueError when there is none."""
    parts = urlsplit(url)
    tls = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if tls else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls)
    try:
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        head = [
            f"{method} {target} HTTP/1.1",
            f"Host: {parts.netloc}",
            "User-Agent: Mozilla/4.0",
            "Content-Type: text/xml",
            f"Content-Length: {len(body)}",
            "Connection: close",
        ]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        await writer.drain()
        return _reply(await reader.read())
    finally:
        writer.close()


def _reply(raw: bytes) -> CallbackReply:
    head, found, body = raw.partition(b"\r\n\r\n")
    if not found:
        raise ValueError("no whole answer")
    return CallbackReply(int(head.split(b" ", 2)[1]), body)


class Callee(Protocol):
    """An app, a suite or a webhook that registered an address for callbacks."""

    @property
    def callback_url(self) -> str | None:
        """The address; None before it was registered."""
        ...

    @property
    def receiver(self) -> str:
        """The ReceiveId of its envelopes."""
        ...

    @property
    def name(self) -> str:
        """Its name in messages to people."""
        ...

    def sealed(self, message: bytes, receiver: str, timestamp: str, nonce: str, random: bytes) -> tuple[str, str]:
        """The encrypted message and its signature."""
        ...

    def wrapped(self, encrypted: str) -> str:
        """The body of a callback."""
        ...


@dataclass(slots=True)
class Callback:
    """One event, or a verification of the address, and what became of each try."""

    kind: str
    app: Callee
    about: dict[str, Any]
    time: float = 0.0
    """The virtual instant of the act."""
    after: int = 0
    """The number of the last call before it."""
    tries: list[dict[str, Any]] = field(default_factory=list)
    state: str = "open"

    def shown(self) -> dict[str, Any]:
        """As control shows it."""
        return {"kind": self.kind, **self.about, "state": self.state, "tries": self.tries}


class Callbacks:
    """All callbacks of a world; each is carried out in a task of its own."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, calls: CallLog) -> None:
        self._whole, self._clock, self._calls = settings, clock, calls
        self._tasks: set[asyncio.Task[None]] = set()
        self.all: list[Callback] = []
        """Every callback, oldest first."""
        self.moves = 0
        """How often one of them began, was tried or ended, so that a look can tell whether something moved."""

    @property
    def _settings(self) -> CallbackSettings:
        """The settings as they are now: control may have changed them."""
        return self._whole.callbacks

    def shown(self) -> list[dict[str, Any]]:
        """Every callback, oldest first."""
        return [callback.shown() for callback in self.all]

    def send(self, app: Callee, event: bytes, about: dict[str, Any]) -> Callback:
        """Send an event to the app's address."""
        return self._start(app, "event", about, lambda callback: self._deliver(callback, event))

    def verify(self, app: Callee) -> Callback:
        """The verification that the vendor makes when an address is registered: one second, the plain number back."""
        return self._start(app, "verify", {}, self._verify)

    def _start(self, app: Callee, kind: str, about: dict[str, Any], work: Any) -> Callback:
        if app.callback_url is None:
            raise ValueError(f"{app.name} has no callback_url; set it in the settings")
        callback = Callback(kind, app, about, self._clock.now(), self._calls.last_seq)
        self.all.append(callback)
        self.moves += 1
        task = asyncio.get_running_loop().create_task(self._carried_out(callback, work(callback)))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return callback

    async def _carried_out(self, callback: Callback, work: Coroutine[Any, Any, None]) -> None:
        """The whole delivery; a key that cannot seal anything ends it before the first try."""
        try:
            await work
        except EnvelopeError as error:
            callback.tries.append({"status": None, "failure": str(error), "took_s": 0.0})
            callback.state = "given up"

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.moves += 1

    async def _verify(self, callback: Callback) -> None:
        number = str(secrets.randbelow(10**19)).encode()
        query, encrypted = self._sealed(callback.app, number)
        reply = await self._ask(callback, "GET", {**query, "echostr": encrypted}, b"", self._settings.verify_s)
        callback.state = "taken" if reply is not None and (reply.status, reply.body) == (200, number) else "given up"

    async def _deliver(self, callback: Callback, event: bytes) -> None:
        """Try until the event is taken or the tries are used up; then send the further copies that are wanted."""
        settings = self._settings
        await asyncio.sleep(secrets.randbelow(1000) / 1000 * settings.shuffle_s)
        for left in reversed(range(settings.tries)):
            reply = await self._post(callback, event)
            if reply is not None and reply.status == 200:
                callback.state = "taken"
                break
            if not left or not self._repeats(reply):
                callback.state = "given up"
                return
            await asyncio.sleep(settings.pause_s)
        for _ in range(settings.copies - 1):
            await self._post(callback, event)

    def _repeats(self, reply: CallbackReply | None) -> bool:
        """Whether a try that was not taken is repeated; pages 90930 and 90238 differ on answers other than 200."""
        match self._settings.retry_on:
            case "none":
                return False
            case "failure":
                return reply is None
        return True

    async def _post(self, callback: Callback, event: bytes) -> CallbackReply | None:
        query, encrypted = self._sealed(callback.app, event)
        body = callback.app.wrapped(encrypted).encode()
        return await self._ask(callback, "POST", query, body, self._settings.deadline_s)

    def _sealed(self, app: Callee, message: bytes) -> tuple[dict[str, str], str]:
        """The query and the encrypted message, with a new timestamp and nonce for each try."""
        receiver = "wx0000000000000000" if self._settings.wrong_receiver else app.receiver
        timestamp, nonce = str(int(self._clock.now())), str(secrets.randbelow(10**10))
        encrypted, signature = app.sealed(message, receiver, timestamp, nonce, secrets.token_bytes(RANDOM_BYTES))
        given = "0" * 40 if self._settings.wrong_signature else signature
        return {"msg_signature": given, "timestamp": timestamp, "nonce": nonce}, encrypted

    async def _ask(
        self, callback: Callback, method: str, query: dict[str, str], body: bytes, deadline_s: float
    ) -> CallbackReply | None:
        """One try, noted in the callback; None: no answer in time, or none at all."""
        began, url = time.monotonic(), str(callback.app.callback_url)
        reply, failure = None, None
        try:
            async with asyncio.timeout(deadline_s):
                reply = await ask(method, f"{url}{'&' if '?' in url else '?'}{urlencode(query)}", body)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:  # TimeoutError is an OSError
            failure = type(error).__name__
        took = round(time.monotonic() - began, 4)
        self.moves += 1
        callback.tries.append({"status": reply.status if reply else None, "failure": failure, "took_s": took})
        return reply
