"""What comes after a send: recalls and updates of cards; and group chats."""

from worker.simulator.settings.group import SettingsGroup


class RecallSettings(SettingsGroup):
    """Recalls."""

    window_s: float = 86_400
    unknown_code: int = 40058
    """(unconfirmed) an unknown msgid."""
    twice_code: int = 0
    """(unconfirmed) a msgid recalled before."""


class CardSettings(SettingsGroup):
    """Updates of cards."""

    code_lifetime_s: float = 259_200
    """72 h; older texts say 24 h."""
    consumed_on_error: bool = False
    """(unconfirmed) a failing update spends its response_code."""
    foreign_code: int = 42015
    """A response_code of another app."""
    no_target_code: int = 82101
    outside_code: int = 82102
    """(unconfirmed) no target is among the recipients; 0 lists them in invaliduser only."""
    recalled_code: int = 0
    """(unconfirmed) the message was recalled before."""
    atall_with_lists_code: int = 0
    """(unconfirmed) atall together with lists; 0: atall wins."""


class ChatSettings(SettingsGroup):
    """Group chats that apps make; a code of 0 accepts what it would refuse."""

    no_scope_code: int = 48002
    """(unconfirmed) an app whose visible range is not the root department: 48002 or 60011."""
    unknown_code: int = 86003
    """(unconfirmed) an unknown chatid: 86003 or 40050."""
    msgtype_code: int = 40008
    """(unconfirmed) a message type that chats do not take."""
    unknown_member_code: int = 86216
    """(unconfirmed) a member who does not exist, or a leaver who is not in the chat; 0 leaves the member out."""
    too_few_code: int = 86006
    """(unconfirmed) a change that leaves fewer than two members."""
