"""What a channel leaves out of the suite, and the vendor's reason for it."""

from __future__ import annotations

from typing import NamedTuple


class LeftOut(NamedTuple):
    """One test that cannot be asked of a channel."""

    channel: str
    test: str
    reason: str


_NO_MSGID = "the vendor answers a send with errcode and errmsg alone: there is no msgid and no response_code"
_NO_ID = "the vendor gives no message id, and has no call that takes back or changes what was sent; there are no cards"

EXCEPTIONS: tuple[LeftOut, ...] = (
    LeftOut("wecom_webhook", "test_a_send_can_be_taken_back", _NO_MSGID),
    LeftOut("wecom_webhook", "test_a_card_can_be_updated_once_for_each_code", _NO_MSGID),
    LeftOut("wecom_external", "test_a_card_can_be_updated_once_for_each_code", "customers are sent no cards"),
    LeftOut("youdu", "test_a_send_can_be_taken_back", _NO_ID),
    LeftOut("youdu", "test_a_card_can_be_updated_once_for_each_code", _NO_ID),
)
