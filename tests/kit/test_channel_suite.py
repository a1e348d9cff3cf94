"""The suite for channels from outside, asked of two of ours: what it demands is what the worker does."""

from __future__ import annotations

from worker import Chats, To, webhook
from worker.channels import wecom_app
from worker.domain.content.message import Message
from worker.domain.content.recipient import Recipients
from worker_simulator.testing import KitOutbox
from worker_simulator.testing.channel_suite import ChannelSuite


class TestWebhook(ChannelSuite):
    """Nothing makes a repeat safe."""

    channel = "wecom_webhook"
    path = "/cgi-bin/webhook/send"
    limit = "chat_minute"
    refuses = 40058
    parks = 93000

    def message(self, n: int) -> Message:
        """A text to a chat."""
        return webhook.Text(content=f"canary-text {n}")

    def recipients(self) -> Recipients:
        """One chat."""
        return Chats("wrone")


class TestApp(ChannelSuite):
    """A repeat with the duplicate check is dropped by the vendor."""

    channel = "wecom_app"
    path = "/cgi-bin/message/send"
    limit = "member_minute"
    refuses = 40058
    parks = 50003

    def message(self, n: int) -> Message:
        """A text to a member."""
        return wecom_app.Text(content=f"canary-text {n}")

    def recipients(self) -> Recipients:
        """One member."""
        return To(users=["anna"])

    def seen(self, outbox: KitOutbox) -> int:
        """What she sees."""
        return len(outbox.inbox("anna"))
