"""What comes after a send: recalls and updates of cards."""

from worker.simulator.settings.part import Part


class RecallSettings(Part):
    """Recalls."""

    window_s: float = 86_400
    unknown_code: int = 40058
    """(unconfirmed) an unknown msgid."""
    twice_code: int = 0
    """(unconfirmed) a msgid recalled before."""


class CardSettings(Part):
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
