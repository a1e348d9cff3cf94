"""Sends callbacks to the URL that an app registered: encrypted anew for each try, and repeated as the vendor does."""

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
    """The receiver's answer to a callback."""

    status: int
    body: bytes


async def http_request(method: str, url: str, body: bytes) -> CallbackReply:
    """Sends one HTTP request and returns the answer. Raises OSError or ValueError if there is none."""
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
    head, complete, body = raw.partition(b"\r\n\r\n")
    if not complete:
        raise ValueError("no whole answer")
    return CallbackReply(int(head.split(b" ", 2)[1]), body)


class CallbackTarget(Protocol):
    """An app, a suite or a webhook that can register a callback URL."""

    @property
    def callback_url(self) -> str | None:
        """The callback URL, or None if none is registered."""
        ...

    @property
    def receiver(self) -> str:
        """The ReceiveId of its envelopes."""
        ...

    @property
    def name(self) -> str:
        """Its name in error messages."""
        ...

    def encrypt(self, message: bytes, receiver: str, timestamp: str, nonce: str, random: bytes) -> tuple[str, str]:
        """Returns the encrypted message and its signature."""
        ...

    def wrap(self, encrypted: str) -> str:
        """Returns the body of a callback."""
        ...


@dataclass(slots=True)
class Callback:
    """One event, or the verification of a URL, with the result of each try."""

    kind: str
    app: CallbackTarget
    about: dict[str, Any]
    time: float = 0.0
    """The virtual time of the action."""
    after: int = 0
    """The number of the last call before it."""
    tries: list[dict[str, Any]] = field(default_factory=list)
    state: str = "open"

    def to_json(self) -> dict[str, Any]:
        """Returns the callback for the control API."""
        return {"kind": self.kind, **self.about, "state": self.state, "tries": self.tries}


class Callbacks:
    """All callbacks. Each is delivered in an asyncio task of its own."""

    def __init__(self, settings: SimulatorSettings, clock: Clock, calls: CallLog) -> None:
        self._all_settings, self._clock, self._calls = settings, clock, calls
        self._tasks: set[asyncio.Task[None]] = set()
        self.all: list[Callback] = []
        """Every callback, oldest first."""
        self.changes = 0
        """The number of starts, tries and ends. Open pages compare it to notice changes."""

    @property
    def _settings(self) -> CallbackSettings:
        """The current settings, which control calls may have changed."""
        return self._all_settings.callbacks

    def to_json(self) -> list[dict[str, Any]]:
        """Returns every callback for the control API, oldest first."""
        return [callback.to_json() for callback in self.all]

    def send(self, app: CallbackTarget, event: bytes, about: dict[str, Any]) -> Callback:
        """Sends an event to the app's callback URL, in the background."""
        return self._start(app, "event", about, lambda callback: self._deliver(callback, event))

    def verify(self, app: CallbackTarget) -> Callback:
        """Verifies a callback URL as the vendor does at its registration: it must return the decrypted number."""
        return self._start(app, "verify", {}, self._verify)

    def _start(self, app: CallbackTarget, kind: str, about: dict[str, Any], work: Any) -> Callback:
        if app.callback_url is None:
            raise ValueError(f"{app.name} has no callback_url; set it in the settings")
        callback = Callback(kind, app, about, self._clock.now(), self._calls.last_seq)
        self.all.append(callback)
        self.changes += 1
        task = asyncio.get_running_loop().create_task(self._run(callback, work(callback)))
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return callback

    async def _run(self, callback: Callback, work: Coroutine[Any, Any, None]) -> None:
        """Delivers a callback. If the key cannot encrypt, ends it before the first try."""
        try:
            await work
        except EnvelopeError as error:
            callback.tries.append({"status": None, "failure": str(error), "took_s": 0.0})
            callback.state = "given up"

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.changes += 1

    async def _verify(self, callback: Callback) -> None:
        number = str(secrets.randbelow(10**19)).encode()
        query, encrypted = self._encrypt(callback.app, number)
        reply = await self._try(callback, "GET", {**query, "echostr": encrypted}, b"", self._settings.verify_s)
        callback.state = "taken" if reply is not None and (reply.status, reply.body) == (200, number) else "given up"

    async def _deliver(self, callback: Callback, event: bytes) -> None:
        """Tries until the receiver accepts the event or no try is left, then sends the additional copies."""
        settings = self._settings
        await asyncio.sleep(secrets.randbelow(1000) / 1000 * settings.shuffle_s)
        for remaining in reversed(range(settings.tries)):
            reply = await self._post(callback, event)
            if reply is not None and reply.status == 200:
                callback.state = "taken"
                break
            if not remaining or not self._repeats(reply):
                callback.state = "given up"
                return
            await asyncio.sleep(settings.pause_s)
        for _ in range(settings.copies - 1):
            await self._post(callback, event)

    def _repeats(self, reply: CallbackReply | None) -> bool:
        """True if a try without 200 is repeated. Pages 90930 and 90238 differ on answers other than 200."""
        match self._settings.retry_on:
            case "none":
                return False
            case "failure":
                return reply is None
        return True

    async def _post(self, callback: Callback, event: bytes) -> CallbackReply | None:
        query, encrypted = self._encrypt(callback.app, event)
        body = callback.app.wrap(encrypted).encode()
        return await self._try(callback, "POST", query, body, self._settings.deadline_s)

    def _encrypt(self, app: CallbackTarget, message: bytes) -> tuple[dict[str, str], str]:
        """Returns the query and the encrypted message, with a new timestamp and nonce."""
        receiver = "wx0000000000000000" if self._settings.wrong_receiver else app.receiver
        timestamp, nonce = str(int(self._clock.now())), str(secrets.randbelow(10**10))
        encrypted, computed = app.encrypt(message, receiver, timestamp, nonce, secrets.token_bytes(RANDOM_BYTES))
        signature = "0" * 40 if self._settings.wrong_signature else computed
        return {"msg_signature": signature, "timestamp": timestamp, "nonce": nonce}, encrypted

    async def _try(
        self, callback: Callback, method: str, query: dict[str, str], body: bytes, deadline_s: float
    ) -> CallbackReply | None:
        """Makes one try and records its result. Returns the answer, or None if there was none in time."""
        began, url = time.monotonic(), str(callback.app.callback_url)
        reply, failure = None, None
        try:
            async with asyncio.timeout(deadline_s):
                reply = await http_request(method, f"{url}{'&' if '?' in url else '?'}{urlencode(query)}", body)
        except (OSError, ValueError, asyncio.IncompleteReadError) as error:  # TimeoutError is an OSError
            failure = type(error).__name__
        duration_s = round(time.monotonic() - began, 4)
        self.changes += 1
        callback.tries.append({"status": reply.status if reply else None, "failure": failure, "took_s": duration_s})
        return reply
