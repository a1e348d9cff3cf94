"""Searches for the task of a create call without an answer (pages 93338, 92135).

A task carries no reference of ours, so the search narrows the tasks in steps: by time, text and attachments in the list
of the corp's tasks, then by their members (only this part's sender), then by their recipients (only this part's). The
part is held for a person if two tasks fit equally, if one could not be read, or if none fits. A wrong match is worse
than none: two parts would share one task, and a cancel would hit another part's.

The vendor lists a task's customers whether they were sent to or not. A task has to name at least half of the part's
customers, and the missing ones are assumed to have been in the lost answer's fail_list. It lists groups only once they
were sent to: there a task of the right member is accepted, unless it names a group that is not the part's. The part is
held, too, if another send that is in doubt could have made that task: one of the same text for some of its customers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from worker.channels.calls import filled
from worker.channels.wecom.answer import ERRCODES, Answer, integer, moment, text_of
from worker.channels.wecom_external import track
from worker.channels.wecom_external.targets import CUSTOMERS, audience_in
from worker.domain.job import Part
from worker.domain.outcome import Accepted, CallReceipt, Held, Outcome, Partial, Progress, Refusal, Rejected

LIST, MEMBERS, RESULTS = "list", "members", "results"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that fits the part: it names no other recipients and, if the part has a sender, no other member."""

    msgid: str
    seen: str
    """Which of the part's recipients it names: a bit each, in hex."""


@dataclass(frozen=True, slots=True)
class Search:
    """The state between two calls."""

    step: str = LIST
    cursor: str = ""
    window: tuple[int, ...] = ()
    """Start and end, in Unix seconds, of the span that is being read. A cursor belongs to it."""
    empty: int = 0
    """How often the list was read to its end without a similar task."""
    pages: int = 0
    """How many pages were read in all."""
    found: tuple[str, ...] = ()
    """Similar tasks that are still to be examined. The first is being read."""
    members: tuple[str, ...] = ()
    """Members of the first task. In step `members` those read so far, in step `results` those still to be read."""
    seen: str = "0"
    """Which of the part's recipients the first task names: a bit each, in hex."""
    fits: tuple[Candidate, ...] = ()
    unsure: int = 0
    """How many tasks could not be read far enough to decide."""


def search_of(spec: Mapping[str, Any]) -> Search:
    """Returns the state in a part's spec. A spec without one is at the beginning."""
    held = dict(spec.get("look_up") or {})
    for name in ("found", "members", "window"):
        held[name] = tuple(held.get(name, ()))
    held["fits"] = tuple(Candidate(**one) for one in held.get("fits", ()))
    return Search(**held)


def with_marks(seen: str, places: Sequence[int]) -> str:
    """Adds the recipients at these indexes to the bits in `seen`."""
    bits = int(seen, 16)
    for place in places:
        bits |= 1 << place
    return f"{bits:x}"


def ids_without_mark(seen: str, ids: Sequence[str]) -> list[str]:
    """Returns the recipients whose bit is not set in `seen`."""
    bits = int(seen, 16)
    return [one for place, one in enumerate(ids) if not bits >> place & 1]


CORP_MADE = 0
"""`create_type`. 1 is a member's own."""

SHOWN: Mapping[str, tuple[str, ...]] = {
    "link": ("title", "picurl", "desc", "url"),
    "miniprogram": ("title", "appid", "page"),
    "image": ("media_id", "pic_url"),
    "video": ("media_id",),
    "file": ("media_id",),
}
"""Fields of an attachment that the list shows. Of an image it shows one of the two, of a mini program no cover."""


def is_like(entry: Mapping[str, Any], content: Mapping[str, Any], since: int, until: int) -> bool:
    """Returns True if an API call created a task in that time, with this text and these attachments."""
    at = moment(entry, "create_time")
    if at is None or not since <= at <= until:
        return False
    # A task that a person created in the console has a `creator`.
    if entry.get("creator") or integer(entry, "create_type") not in (None, CORP_MADE):
        return False
    return _text_of(entry) == _text_of(content) and _same_attachments(entry, content)


def _text_of(holder: Mapping[str, Any]) -> str:
    text = holder.get("text")
    content = text.get("content") if isinstance(text, Mapping) else None
    return content.replace("\r\n", "\n").strip() if isinstance(content, str) else ""


def _same_attachments(entry: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    theirs, ours = entry.get("attachments") or [], content.get("attachments") or []
    if not isinstance(theirs, list) or len(theirs) != len(ours):
        return False
    return all(_same(one, other) for one, other in zip(theirs, ours, strict=True))


def _same(theirs: Any, ours: Mapping[str, Any]) -> bool:
    """Returns True if two attachments have the same type, and no field that both show differs."""
    if not isinstance(theirs, Mapping) or theirs.get("msgtype") != ours.get("msgtype"):
        return False
    msgtype = str(ours.get("msgtype"))
    told, sent = theirs.get(msgtype), ours.get(msgtype)
    if not isinstance(told, Mapping) or not isinstance(sent, Mapping):
        return False
    return all(told[name] == sent[name] for name in SHOWN.get(msgtype, ()) if told.get(name) and sent.get(name))


LIST_PATH = "/cgi-bin/externalcontact/get_groupmsg_list_v2"
PATHS: Mapping[str, str] = {LIST: LIST_PATH, MEMBERS: track.TASK_PATH, RESULTS: track.RESULT_PATH}

SKEW_S = 300
"""Seconds by which the vendor's clock and ours may differ."""
MONTH_S = 30 * 86400
"""The longest span in seconds that the list accepts."""
LIST_PAGE = 50
"""100 would be possible. 50 tasks with nine attachments each stay well below the largest readable answer."""
PAUSE_S = 1.0
EMPTY_PAUSES_S = (30.0, 120.0)
"""Seconds before the list is read again if it had no such task: a delayed call may arrive late."""
MAX_SIMILAR = 50
MAX_MEMBERS = 50
"""Similar tasks, and members of one task, that are read at most. Beyond them the part is held."""
MAX_PAGES = 5000
"""Pages of one search, at most: fifty tasks of ten thousand customers are some 600. It ends cursors in a circle."""
NO_TASK = (41046, 41047)


def path_of(part: Part) -> str:
    """Returns the path of the next call."""
    return PATHS[search_of(part.spec).step]


def body_of(part: Part) -> dict[str, Any]:
    """Returns the body of the next call."""
    search = search_of(part.spec)
    if search.step == LIST:
        since, until = _window(part, search)
        body = {
            "chat_type": audience_in(part.spec).chat_type,
            "start_time": since,
            "end_time": until,
            "filter_type": CORP_MADE,
            "limit": LIST_PAGE,
        }
        return {**body, **({"cursor": search.cursor} if search.cursor else {})}
    if search.step == MEMBERS:
        return track.task_body(search.found[0], search.cursor)
    return track.result_body(search.found[0], search.members[0], search.cursor)


def outcome(part: Part, answer: Answer) -> Outcome:
    """Returns what a page means: the next step of the search, or its end."""
    search = search_of(part.spec)
    if search.pages >= MAX_PAGES:
        return Held(f"no answer came, and its task was not found on {MAX_PAGES} pages")
    if search.step != LIST and search.found[0] in _known(part):
        return _next(part, search)  # it belongs to another part, whose answer came after the list was read
    if answer.errcode != 0:
        return _refused(part, search, answer.errcode)
    read = {LIST: _read_list, MEMBERS: _read_members, RESULTS: _read_results}[search.step]
    return read(part, search, answer)


def _known(part: Part) -> set[str]:
    """Returns the msgids that are stored for other parts by now."""
    return set(part.facts.get("known") or ())


def _window(part: Part, search: Search) -> tuple[int, ...]:
    """Returns start and end of the time of the task, in Unix seconds. The same for all pages of a reading."""
    if search.window:
        return search.window
    since, until = (int(one) for one in part.facts["doubt"])
    return max(since - SKEW_S, until + SKEW_S - MONTH_S), until + SKEW_S


def _go_on(part: Part, search: Search, delay: float = PAUSE_S) -> Progress:
    count = len(search.found) + len(search.fits) + search.unsure
    reason = f"no answer came: the worker looks for its task, {count} like it so far"
    return Progress({**part.spec, "look_up": asdict(replace(search, pages=search.pages + 1))}, reason, delay)


def _read_list(part: Part, search: Search, answer: Answer) -> Outcome:
    since, until = window = _window(part, search)
    content, known = filled(part.message["body"], part), _known(part)
    found = dict.fromkeys(search.found)
    for entry in track.entries(answer.data, "group_msg_list"):
        msgid = text_of(entry.get("msgid"))
        if msgid and msgid not in known and is_like(entry, content, since, until):
            found[msgid] = None
    cursor = track.next_cursor(answer, search.cursor)
    search = replace(search, cursor=cursor, found=tuple(found), window=window)
    if len(search.found) > MAX_SIMILAR:
        return Held(f"no answer came, and more than {MAX_SIMILAR} tasks look like it")
    return _go_on(part, search) if cursor else _list_read(part, search)


def _list_read(part: Part, search: Search) -> Outcome:
    if not search.found:
        if search.empty < len(EMPTY_PAUSES_S):
            return _go_on(part, replace(search, empty=search.empty + 1, window=()), EMPTY_PAUSES_S[search.empty])
        return Held("no answer came, and no task of those minutes has its text and attachments")
    if not part.spec.get("sender") and not _ids(part):
        return Held("no answer came, and without sender and customers its task cannot be told from others")
    return _go_on(part, replace(search, step=MEMBERS))


def _read_members(part: Part, search: Search, answer: Answer) -> Outcome:
    """Reads the members of a task. If the part has a sender, a task with any other member is not the part's."""
    members = (text_of(entry.get("userid")) for entry in track.entries(answer.data, "task_list"))
    search = replace(search, members=tuple(dict.fromkeys([*search.members, *(one for one in members if one)])))
    sender = part.spec.get("sender")
    if sender and any(one.lower() != str(sender).lower() for one in search.members):
        return _next(part, search)
    cursor = track.next_cursor(answer, search.cursor)
    if len(search.members) > MAX_MEMBERS or not (search.members or cursor):
        return _next(part, search, unsure=True)
    if cursor:
        return _go_on(part, replace(search, cursor=cursor))
    if not _ids(part):
        return _next(part, search, fits=True)
    return _go_on(part, replace(search, step=RESULTS, cursor=""))


def _read_results(part: Part, search: Search, answer: Answer) -> Outcome:
    """Reads the recipients of a task. A recipient that is not the part's rules it out: parts of a sender share none."""
    places = {one.lower(): place for place, one in enumerate(_ids(part))}
    named = [track.recipient_of(entry) for entry in track.entries(answer.data, "send_list")]
    if any(one and one.lower() not in places for one in named):
        return _next(part, search)
    seen = with_marks(search.seen, [places[one.lower()] for one in named if one])
    search = replace(search, seen=seen, cursor=track.next_cursor(answer, search.cursor))
    if search.cursor:
        return _go_on(part, search)
    if len(search.members) > 1:
        return _go_on(part, replace(search, members=search.members[1:]))
    if audience_in(part.spec) is not CUSTOMERS:
        return _next(part, search, fits=True)
    count = len(places) - len(ids_without_mark(seen, _ids(part)))
    return _next(part, search, fits=_are_enough(count, places), unsure=not count)


def _next(part: Part, search: Search, *, fits: bool = False, unsure: bool = False) -> Outcome:
    """Goes on to the next task, or decides after the last. Drops tasks that belong to another part by now."""
    known = _known(part)
    kept = (*search.fits, Candidate(search.found[0], search.seen)) if fits else search.fits
    rest = replace(
        search,
        step=MEMBERS,
        cursor="",
        found=tuple(one for one in search.found[1:] if one not in known),
        members=(),
        seen="0",
        fits=tuple(fit for fit in kept if fit.msgid not in known),
        unsure=search.unsure + unsure,
    )
    return _go_on(part, rest) if rest.found else _decided(part, rest)


def _decided(part: Part, search: Search) -> Outcome:
    """Ends the search: the only task that fits, or of several the only one that names every customer."""
    if search.unsure:
        return Held(f"no answer came, and {search.unsure} tasks that look like it could not be read")
    if not search.fits:
        return Held("no answer came, and no task that looks like it is of its sender and recipients")
    told = _ids(part) if audience_in(part.spec) is CUSTOMERS else []
    whole = [fit for fit in search.fits if not ids_without_mark(fit.seen, told)]
    chosen = whole if told and whole else list(search.fits)
    if len(chosen) > 1:
        return Held(f"no answer came, and {len(chosen)} tasks match it equally")
    if any(_may_have_made(rival, part, chosen[0]) for rival in part.facts.get("rivals", ())):
        return Held("no answer came, and the task that matches may be of another send, which is in doubt, too")
    taken = CallReceipt(msgid=chosen[0].msgid, from_repeat=True)
    # Customers that the task does not name were in the lost answer's fail_list.
    refusals = tuple(Refusal(one, CUSTOMERS.kind, "fail_list") for one in ids_without_mark(chosen[0].seen, told))
    return Partial(taken, refusals) if refusals else Accepted(taken)


def _may_have_made(rival: Part, part: Part, fit: Candidate) -> bool:
    """Returns True if the task that fits a part fits this unanswered one of the same time as well."""
    senders = {str(one.spec["sender"]).lower() for one in (rival, part) if one.spec.get("sender")}
    if len(senders) > 1 or _text_of(rival.message["body"]) != _text_of(part.message["body"]):
        return False
    theirs, missing = {one.lower() for one in _ids(rival)}, ids_without_mark(fit.seen, _ids(part))
    named = {one.lower() for one in _ids(part)} - {one.lower() for one in missing}
    is_listed = audience_in(part.spec) is CUSTOMERS
    return not theirs or (named <= theirs and (not is_listed or _are_enough(len(named), theirs)))


def _are_enough(named: int, customers: Collection[str]) -> bool:
    """Returns True if a task that names so many of these customers may be for them."""
    return 2 * named >= len(customers)


def _ids(part: Part) -> list[str]:
    """Returns the part's recipients by id. Empty if it names none and is for all of the sender's."""
    return list(part.spec.get(audience_in(part.spec).name) or ())


def _refused(part: Part, search: Search, code: int) -> Outcome:
    """Handles a page that cannot be read. It never refuses the part, because a search changes nothing."""
    if code == track.BAD_CURSOR:
        # The vendor lost the paging. The search begins again, a few times in all.
        return _go_on(part, Search(pages=search.pages + MAX_PAGES // 5))
    if code in NO_TASK and search.step != LIST:
        return _next(part, search)
    if code in track.NO_MEMBER and search.step == RESULTS:
        return _next(part, search, unsure=True)
    found = ERRCODES.outcome(code)
    if isinstance(found, Rejected):
        return Held(f"no answer came, and its task cannot be looked for: {found.reason}")
    return found
