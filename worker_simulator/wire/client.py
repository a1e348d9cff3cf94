"""One HTTP request that the simulator makes, on a connection of its own.

Does not know what is asked; its caller holds the deadline.
"""

import asyncio
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit


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
