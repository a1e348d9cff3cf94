"""The bytes of the newest uploads, so that a page can open what messages refer to.

Does not know who may use a file, and how long the vendor says it lives.
"""

from collections import OrderedDict
from dataclasses import dataclass

from worker_simulator.settings import SimulatorSettings


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file as it came."""

    name: str
    """Its file name; empty for a picture that came without one."""
    content: bytes


class KeptFiles:
    """Files by media_id, by the address of a permanent picture, or by the MD5 of a webhook's picture."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings
        self._files: OrderedDict[str, KeptFile] = OrderedDict()
        self._bytes = 0

    def keep(self, key: str, name: str, content: bytes) -> None:
        """Keep a file, and let go of the oldest ones beyond `keep_file_bytes`."""
        before = self._files.pop(key, None)
        self._bytes += len(content) - (len(before.content) if before else 0)
        self._files[key] = KeptFile(name, content)
        while self._bytes > self._settings.keep_file_bytes:
            _, oldest = self._files.popitem(last=False)
            self._bytes -= len(oldest.content)

    def find(self, key: str) -> KeptFile | None:
        """A file, or None where it never came or was let go."""
        return self._files.get(key)
