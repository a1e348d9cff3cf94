"""What apps, suites and webhooks have in common: an address that callbacks go to, and how these are sealed for it."""

from worker.crypto.envelope import Envelope
from worker_simulator.settings.group import SettingsGroup


class CalledBack(SettingsGroup):
    """Registered an address for callbacks, or not yet."""

    callback_url: str | None = None
    """Where its callbacks go; None: what people press and write goes nowhere."""
    callback_token: str = ""
    """The Token with which its callbacks are signed."""
    callback_aes_key: str = ""
    """The EncodingAESKey with which its callbacks are sealed."""

    def sealed(self, message: bytes, receiver: str, timestamp: str, nonce: str, random: bytes) -> tuple[str, str]:
        """The encrypted message and its signature."""
        return Envelope(self.callback_token, self.callback_aes_key, receiver).seal(message, timestamp, nonce, random)
