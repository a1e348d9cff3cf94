"""What comes after a send: recalls and updates of cards; and group chats."""

from worker_simulator.settings.group import SettingsGroup


class RecallSettings(SettingsGroup):
    """Recalls."""

    window_s: float = 86_400
    """How long after the send a message can be recalled."""
    unknown_code: int = 40058
    """(unconfirmed) An unknown msgid."""
    twice_code: int = 0
    """(unconfirmed) A msgid that was recalled before."""


class CardSettings(SettingsGroup):
    """Updates of cards."""

    code_lifetime_s: float = 259_200
    """How long a response_code is good: 72 h; older texts say 24 h."""
    consumed_on_error: bool = False
    """(unconfirmed) An update that fails spends its response_code."""
    foreign_code: int = 42015
    """A response_code of another app."""
    no_target_code: int = 82101
    """An update that names no target at all."""
    outside_code: int = 82102
    """(unconfirmed) No target is among the recipients; 0 lists them in invaliduser only."""
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
    """(unconfirmed) A member who does not exist, or a leaver who is not in the chat; 0 leaves the member out."""
    too_few_code: int = 86006
    """(unconfirmed) A change that leaves fewer than two members."""
