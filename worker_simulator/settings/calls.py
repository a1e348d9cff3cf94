"""Settings of the duplicate check, limits, callbacks, recalls, card updates and group chats."""

from typing import Literal

from worker_simulator.settings.people import SettingsGroup


class DuplicateSettings(SettingsGroup):
    """What the duplicate check takes for the same request, and what it answers."""

    compare: Literal["bytes", "flagless", "sorted"] = "bytes"
    """(unconfirmed) `bytes`: the exact body; `flagless`: the JSON without enable_duplicate_check and
    duplicate_check_interval; `sorted`: that, whatever the order of its keys."""
    refused_counts: bool = False
    """(unconfirmed) Refused requests are remembered too, so an honest repeat is suppressed. Never those refused before
    the message is looked at: for the token, the address or a limit of calls."""
    unflagged_counts: bool = False
    """(unconfirmed) Requests without the flag are remembered too, as originals of flagged ones."""
    answers: Literal["first_msgid", "new_msgid", "no_msgid"] = "first_msgid"
    """(unconfirmed) What a suppressed repeat is answered; a new msgid belongs to no message that a member sees."""
    longest_s: float = 14_400
    """For how many seconds a request is remembered at most, whatever interval it asks for. 0 switches the check off."""
    repeat_extends: bool = False
    """(unconfirmed) A suppressed repeat starts the window again."""
    before_task_id: bool = False
    """(unconfirmed) The check comes before task_id uniqueness; else a repeated card answers 42014."""


class LimitSettings(SettingsGroup):
    """Amounts and what happens beyond them; 0 switches a limit off."""

    enforce: Literal["sliding", "aligned", "none"] = "sliding"
    """(unconfirmed) Which windows refuse; both are always watched for `violations`. Days are calendar days."""
    day_zone_h: float = 8.0
    """(unconfirmed) Hours ahead of UTC of the calendar of days and months; 8 is Shanghai."""
    api_per_minute: int = 10_000
    """Calls a minute per corp and API, without message/send."""
    api_per_hour: int = 150_000
    """Calls an hour per corp and API, without message/send."""
    ip_per_minute: int = 20_000
    """Calls a minute per IP and API, without message/send."""
    ip_per_hour: int = 600_000
    """Calls an hour per IP and API, without message/send."""
    member_per_minute: int = 30
    """Messages a minute per app and member, message/send."""
    member_per_hour: int = 1000
    """Messages an hour per app and member, message/send."""
    member_excess: Literal["drop", "refuse"] = "drop"
    """(unconfirmed) `drop`: the member silently gets nothing; `refuse`: 45009 for the call."""
    account_cap: int = 10_000
    """Members the corp may have; person-times per app and day are 200 times that."""
    chats_per_day: int = 1000
    """Group chats a corp may make in a day."""
    chat_changes_per_hour: int = 1000
    """Changes a corp may make to its group chats in an hour."""
    chat_persons_per_minute: int = 20_000
    """Person-times a minute of a corp's sends to group chats."""
    chat_persons_per_hour: int = 300_000
    """(unconfirmed) Person-times an hour of a corp's sends to group chats (page 90312); page 90248 has 150,000, 350,000
    or 700,000 by the size of the corp."""
    chat_member_per_minute: int = 200
    """Messages a minute per app and member, over all of the app's chats; more is dropped in silence."""
    chat_member_per_day: int = 10_000
    """Messages a day per app and member, over all of the app's chats; more is dropped in silence."""
    pictures_per_day: int = 1000
    """Calls of uploadimg a day, per corp; older pages say 100."""
    pictures_per_month: int = 3000
    """Calls of uploadimg a month, per corp; a sliding month has 30 days."""
    penalty: bool = True
    """A 45009 blocks its key as long as the window it overstepped."""
    concurrent_calls: int = 0
    """(unconfirmed) More calls of an API in flight than this get 45033. 0: no limit."""


class CallbackSettings(SettingsGroup):
    """How callbacks are delivered."""

    deadline_s: float = 5.0
    """Seconds to wait for the answer to an event."""
    verify_s: float = 1.0
    """Seconds to wait for the answer to the verification of a callback URL."""
    tries: int = 4
    """(unconfirmed) How often an event is sent at most."""
    retry_on: Literal["non_200", "failure", "none"] = "non_200"
    """(unconfirmed) `non_200`: any answer but 200 is repeated (page 90238); `failure`: only no answer at all (page
    90930)."""
    pause_s: float = 0.2
    """(unconfirmed) Seconds between two tries."""
    copies: int = 1
    """How often an accepted event is sent in all."""
    shuffle_s: float = 0.0
    """Each event waits a random part of this (in seconds) first, so that events overtake each other."""
    wrong_signature: bool = False
    """Events have a wrong signature, so that the receiver must refuse them."""
    wrong_receiver: bool = False
    """Events are encrypted for another corp, so that the receiver must refuse them."""


class RecallSettings(SettingsGroup):
    """Recalls."""

    window_s: float = 86_400
    """For how many seconds after the send a message can be recalled."""
    unknown_code: int = 40058
    """(unconfirmed) An unknown msgid."""
    twice_code: int = 0
    """(unconfirmed) A msgid that was recalled before."""


class CardSettings(SettingsGroup):
    """Updates of cards."""

    code_lifetime_s: float = 259_200
    """How many seconds a response_code is valid: 72 h. Older texts say 24 h."""
    consumed_on_error: bool = False
    """(unconfirmed) An update that fails spends its response_code."""
    foreign_code: int = 42015
    """A response_code of another app."""
    no_target_code: int = 82101
    """An update that names no target at all."""
    outside_code: int = 82102
    """(unconfirmed) No target is a recipient of the message. 0 only lists them in invaliduser."""
    recalled_code: int = 0
    """(unconfirmed) The message was recalled before."""
    atall_with_lists_code: int = 0
    """(unconfirmed) Both atall and lists; 0: atall wins."""


class ChatSettings(SettingsGroup):
    """Group chats that apps make; a code of 0 accepts what it would refuse."""

    no_scope_code: int = 48002
    """(unconfirmed) An app whose visible range is not the root department: 48002 or 60011."""
    unknown_code: int = 86003
    """(unconfirmed) An unknown chatid: 86003 or 40050."""
    msgtype_code: int = 40008
    """(unconfirmed) A message type that chats do not take."""
    unknown_member_code: int = 86216
    """(unconfirmed) A member who does not exist, or a leaver who is not in the chat. 0 ignores that member."""
    too_few_code: int = 86006
    """(unconfirmed) A change that leaves fewer than two members."""
