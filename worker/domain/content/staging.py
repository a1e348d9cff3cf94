"""The switches of an installation that is no production: whom its calls may reach, or that it makes none. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker.domain.content.recipient import GROUPS, INSTEAD_OF, LISTS, same_person

if TYPE_CHECKING:
    from worker.domain.outcome import Refusal

STAGING = "staging"
"""The field of the failures of those who are left out, in place of a list of the vendor's."""
Named = tuple[str, str]
"""Kind (a key of `LISTS`) and id of a recipient."""

DRY_RUN = "staging: dry_run, no call is made"
NOT_LET_THROUGH = "staging: none of its recipients is let through"
FORM = 'a userid, or "chat:...", "email:...", "customer:...", "party:...", "tag:..."'
REDIRECTED = ("user", "chat", "email")
"""The kinds of recipients that a call may be redirected to."""


@dataclass(frozen=True, slots=True)
class Staging:
    """At most one switch is on."""

    dry_run: bool = False
    """No call is made: what would be called is cancelled."""
    only: tuple[str, ...] | None = field(default=None, repr=False)
    """The recipients that are let through, each written as `FORM` says; all others are left out. None: off."""
    redirect_to: tuple[str, ...] = field(default=(), repr=False)
    """Recipients that are called in place of all others: at most one of each kind in `REDIRECTED`. Empty: off."""

    def told(self) -> str:
        """The switch that is on, without a name; empty: none."""
        if self.dry_run:
            return "dry_run"
        if self.only is not None:
            return f"only {len(self.only)} recipients"
        return "redirect_to" if self.redirect_to else ""

    @property
    def chooses(self) -> bool:
        """True where it decides who is called."""
        return self.only is not None or bool(self.redirect_to)

    def left_out(self, spec: Mapping[str, Any]) -> list[Refusal]:
        """The recipients of a share who are not called; all of them where a redirection has none of their kind."""
        # A producer, which has every account, needs no outcomes.
        from worker.domain.outcome import Refusal

        allowed = self._allowed()
        found = [(kind, str(one)) for kind, name in LISTS.items() for one in spec.get(name) or ()]
        return [Refusal(one, kind, STAGING) for kind, one in found if (kind, same_person(one)) not in allowed]

    def refuses(self, spec: Mapping[str, Any]) -> bool:
        """True for a share of which it cannot be told that it is let through.

        A broadcast, a chat that only the vendor knows, a group send by a member whom it would be put before, the
        members of a department, one by one, who are in no list of ours.
        """
        sender = spec.get("sender")
        names = any(spec.get(name) for name in LISTS.values())
        lets_send = ("user", same_person(str(sender))) in self._allowed()
        is_sent_by_another = (sender is not None or "customers" in spec) and not lets_send
        is_of_members = INSTEAD_OF in spec and bool(self.left_out(spec))
        return bool(spec.get("everyone")) or not names or is_sent_by_another or is_of_members

    def instead(self, spec: Mapping[str, Any]) -> tuple[Named, ...]:
        """The recipients that are called in place of a share's; empty: none."""
        kinds = {kind for kind, name in LISTS.items() if spec.get(name)}
        wanted = "user" if kinds & {"user", "party", "tag"} else next(iter(kinds & set(REDIRECTED)), None)
        return tuple((kind, one) for kind, one in map(_parsed, self.redirect_to) if kind == wanted)

    def _allowed(self) -> set[Named]:
        return {(kind, same_person(one)) for kind, one in map(_parsed, self.only or ())}


LIVE = Staging()


def _parsed(written: str) -> Named:
    kind, colon, one = written.partition(":")
    return (kind, one) if colon and kind in LISTS else ("user", written)


def _is_one(written: str) -> bool:
    """False for none, for all, for several, and for a kind that there is not."""
    kind, one = _parsed(written)
    is_of_a_kind = ":" not in written or written.startswith(f"{kind}:")
    return is_of_a_kind and bool(one) and one == one.strip() and "|" not in one and not one.startswith("@")


def staging_problem(switches: Staging) -> str | None:
    """What is wrong with them, and what to do; None: nothing."""
    if sum((switches.dry_run, switches.only is not None, bool(switches.redirect_to))) > 1:
        return "has several switches on; leave one of dry_run, only and redirect_to"
    names = [*(switches.only or ()), *switches.redirect_to]
    if any(not _is_one(name) for name in names):
        return f"names what is no single recipient; each is {FORM}"
    kinds = [_parsed(name)[0] for name in switches.redirect_to]
    if len(set(kinds)) < len(kinds) or not set(kinds) <= set(REDIRECTED):
        return "redirect_to has at most one member, one chat and one address: a userid, chat:..., email:..."
    return None


def redirected(spec: Mapping[str, Any], instead: tuple[Named, ...]) -> dict[str, Any]:
    """The share with these recipients in place of all others."""
    rest = {name: value for name, value in spec.items() if name not in LISTS.values() and name not in GROUPS}
    return {**rest, **{LISTS[kind]: [one] for kind, one in instead}}
