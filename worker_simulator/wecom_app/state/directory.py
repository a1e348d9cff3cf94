"""Members, departments and tags of a corp. They are made up from the ids in a call, by the settings.

Userids are compared without case.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from worker_simulator.answers import Refused
from worker_simulator.request import is_number
from worker_simulator.settings import AppSettings, SimulatorSettings

USERID = re.compile(r"[A-Za-z0-9_.@-]{1,64}")


@dataclass(slots=True)
class ReachedMembers:
    """The members that a call reaches (lower case, without repeats), and the ids that it does not reach."""

    people: dict[str, None] = field(default_factory=dict)
    invalid_users: list[str] = field(default_factory=list)
    unlicensed: list[str] = field(default_factory=list)
    invalid_parties: list[str] = field(default_factory=list)
    invalid_tags: list[str] = field(default_factory=list)
    targets: int = 0
    """How many of the ids are valid, including groups without members."""

    def refused_fields(self, *, lower_case: bool, with_empty: bool = False) -> dict[str, str]:
        """Returns the lists of an answer, joined by bars.

        Empty lists are included only `with_empty`, and only if another list has entries.
        """
        lists = {
            "invaliduser": _cased(self.invalid_users, lower_case),
            "invalidparty": self.invalid_parties,
            "invalidtag": self.invalid_tags,
            "unlicenseduser": _cased(self.unlicensed, lower_case),
        }
        show_empty = with_empty and any(lists.values())
        return {name: "|".join(ids) for name, ids in lists.items() if ids or show_empty}


def _cased(ids: list[str], lower_case: bool) -> list[str]:
    return [userid.lower() for userid in ids] if lower_case else ids


class Directory:
    """Members, departments and tags."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self._settings = settings

    def reach(self, app: AppSettings, users: list[str], parties: list[str], tags: list[str]) -> ReachedMembers:
        """Sorts ids into reached and refused ones."""
        reached = ReachedMembers()
        if "@all" in users:
            reached.targets = 1
            _add(reached, app, self._settings.directory.everyone)
            return reached
        self._reach_users(reached, app, users)
        groups = self._settings.directory
        for party in parties:
            members = self._members(party, "p", groups.parties, groups.first_missing_party)
            _add_group(reached, app, party, members, reached.invalid_parties)
        for tag in tags:
            members = self._members(tag, "t", groups.tags, groups.first_missing_tag)
            _add_group(reached, app, tag, members, reached.invalid_tags)
        return reached

    def exists(self, userid: str) -> bool:
        """True if the member exists, licensed or not."""
        return _exists(userid, _any_of(self._settings.directory.missing_users))

    def user_name(self, userid: str) -> str | None:
        """Returns a member's name, or None."""
        names = self._settings.directory.names
        return names.get(userid, f"name of {userid}") if self.exists(userid) else None

    def party_name(self, party: str) -> str | None:
        """Returns a department's name, or None."""
        groups = self._settings.directory
        exists = self._members(party, "p", groups.parties, groups.first_missing_party) is not None
        return groups.names.get(party, f"name of {party}") if exists else None

    def _reach_users(self, reached: ReachedMembers, app: AppSettings, users: list[str]) -> None:
        missing = _any_of(self._settings.directory.missing_users)
        unlicensed = _any_of(self._settings.directory.unlicensed_users)
        for userid in users:
            if len(userid) > 64:
                raise Refused(40058, "touser exceed max length 64. invalid Request Parameter")
            if not _exists(userid, missing) or not _visible(app, userid.lower()):
                reached.invalid_users.append(userid)
            elif unlicensed.fullmatch(userid):
                reached.unlicensed.append(userid)
            else:
                reached.targets += 1
                reached.people[userid.lower()] = None

    def _members(
        self, group: str, prefix: str, configured: dict[str, list[str]], first_missing: int
    ) -> list[str] | None:
        if group in configured:
            return configured[group]
        if not is_number(group) or int(group) >= first_missing:
            return None
        return [f"{prefix}{group}u{number + 1}" for number in range(self._settings.directory.members_per_group)]


def _any_of(patterns: list[str]) -> re.Pattern[str]:
    """Returns one expression that matches any of the patterns. Without patterns it matches nothing."""
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns) or r"(?!)", re.IGNORECASE)


def _exists(userid: str, missing: re.Pattern[str]) -> bool:
    return bool(USERID.fullmatch(userid)) and not missing.fullmatch(userid)


def _visible(app: AppSettings, userid: str) -> bool:
    return app.visible is None or userid in {member.lower() for member in app.visible}


def _add(reached: ReachedMembers, app: AppSettings, members: Iterable[str]) -> None:
    reached.people.update((userid.lower(), None) for userid in members if _visible(app, userid.lower()))


def _add_group(
    reached: ReachedMembers, app: AppSettings, group: str, members: list[str] | None, invalid: list[str]
) -> None:
    if members is None:
        invalid.append(group)
        return
    reached.targets += 1
    _add(reached, app, members)
