"""The staging switches, for an installation that is not in production: they limit its recipients or stop all calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.domain.content.recipient import GROUPS, INSTEAD_OF, LISTS, same_person
from worker.language import plural

if TYPE_CHECKING:
    from worker.domain.outcome import Refusal

STAGING = "staging"
"""What stands in place of the vendor's list in the failures of recipients that are left out."""
Named = tuple[str, str]
"""Kind (a key of `LISTS`) and id of a recipient."""

DRY_RUN = "staging: dry_run, no call is made"
NOT_LET_THROUGH = "staging: none of its recipients is let through"
FORM = 'a userid, or "chat:...", "email:...", "customer:...", "party:...", "tag:..."'
REDIRECTED = ("user", "chat", "email")
"""The kinds of recipients that a call may be redirected to."""


@dataclass(frozen=True, slots=True)
class Staging:
    """The staging switches of one account. At most one is on."""

    dry_run: bool = False
    """No call is made, and parts that would be called are cancelled."""
    only: tuple[str, ...] | None = field(default=None, repr=False)
    """The only recipients that are called, each written as `FORM` says, or None if this switch is off."""
    redirect_to: tuple[str, ...] = field(default=(), repr=False)
    """Recipients that are called in place of all others, at most one of each kind in `REDIRECTED`. Empty: off."""

    def active(self) -> str:
        """Returns the switch that is on, without names of recipients, or an empty string if none is on."""
        if self.dry_run:
            return "dry_run"
        if self.only is not None:
            return f"only {plural(len(self.only), 'recipient')}"
        return "redirect_to" if self.redirect_to else ""

    @property
    def chooses(self) -> bool:
        """True when a switch changes the recipients."""
        return self.only is not None or bool(self.redirect_to)

    def left_out(self, spec: Mapping[str, Any]) -> list[Refusal]:
        """Returns the recipients of a spec that are not called: all, if no redirection has their kind."""
        # A producer, which has every account, needs no outcomes.
        from worker.domain.outcome import Refusal

        allowed = self._allowed()
        recipients = [(kind, str(recipient)) for kind, name in LISTS.items() for recipient in spec.get(name) or ()]
        return [
            Refusal(recipient, kind, STAGING)
            for kind, recipient in recipients
            if (kind, same_person(recipient)) not in allowed
        ]

    def refuses(self, spec: Mapping[str, Any]) -> bool:
        """Returns True for a spec that cannot be shown to reach allowed recipients only.

        Such as a broadcast, a chat that only the vendor knows, a group send by a member outside the allowed ones, or
        the members of a department one by one.
        """
        sender = spec.get("sender")
        names = any(spec.get(name) for name in LISTS.values())
        lets_send = ("user", same_person(str(sender))) in self._allowed()
        is_sent_by_another = (sender is not None or "customers" in spec) and not lets_send
        is_of_members = INSTEAD_OF in spec and bool(self.left_out(spec))
        return bool(spec.get("everyone")) or not names or is_sent_by_another or is_of_members

    def substitutes(self, spec: Mapping[str, Any]) -> tuple[Named, ...]:
        """Returns the recipients that are called in place of those of a spec; empty if there are none."""
        kinds = {kind for kind, name in LISTS.items() if spec.get(name)}
        target_kind = "user" if kinds & {"user", "party", "tag"} else next(iter(kinds & set(REDIRECTED)), None)
        return tuple((kind, recipient) for kind, recipient in map(_parsed, self.redirect_to) if kind == target_kind)

    def _allowed(self) -> set[Named]:
        return {(kind, same_person(recipient)) for kind, recipient in map(_parsed, self.only or ())}


LIVE = Staging()


def _parsed(written: str) -> Named:
    kind, colon, recipient = written.partition(":")
    return (kind, recipient) if colon and kind in LISTS else ("user", written)


def _is_single(written: str) -> bool:
    """Returns True for exactly one recipient of a known kind; not for `@all`, several, or none."""
    kind, recipient = _parsed(written)
    is_of_a_kind = ":" not in written or written.startswith(f"{kind}:")
    return (
        is_of_a_kind
        and bool(recipient)
        and recipient == recipient.strip()
        and "|" not in recipient
        and not recipient.startswith("@")
    )


def staging_problem(switches: Staging) -> str | None:
    """Returns what is wrong with the switches and what to do, or None if they are right."""
    if sum((switches.dry_run, switches.only is not None, bool(switches.redirect_to))) > 1:
        return "has several switches on; leave one of dry_run, only and redirect_to"
    names = [*(switches.only or ()), *switches.redirect_to]
    if any(not _is_single(name) for name in names):
        return f"has an entry that is not a single recipient; each is {FORM}"
    kinds = [_parsed(name)[0] for name in switches.redirect_to]
    if len(set(kinds)) < len(kinds) or not set(kinds) <= set(REDIRECTED):
        return "redirect_to has at most one member, one chat and one address: a userid, chat:..., email:..."
    return None


def redirected(spec: Mapping[str, Any], substitutes: tuple[Named, ...]) -> dict[str, Any]:
    """Returns the spec with these recipients in place of all others."""
    remaining = {name: value for name, value in spec.items() if name not in LISTS.values() and name not in GROUPS}
    return {**remaining, **{LISTS[kind]: [recipient] for kind, recipient in substitutes}}
