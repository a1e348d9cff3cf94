"""What is asked about the duplicate check of message/send (page 90236) and the task_ids beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from worker.channels.calibration.app_bodies import SEND, TAKEN_TASK, UNTOLD, a_card, a_text, flagged, send, text_of
from worker.channels.calibration.questions import FoundFact, LookAtInbox, Said, Steps, Subject, TrialCall
from worker.channels.wecom_app.render import DUPLICATE_WINDOW_S
from worker.domain.errors import WorkerError

REPEAT, ANSWER = "an equal body again", "the answer to a suppressed repeat"
FLAGS, KEYS, UNFLAGGED = (
    "flags in the duplicate check",
    "order of keys in the duplicate check",
    "calls without the flag",
)
REFUSED, ORDER = "refused calls in the duplicate check", "task_id or duplicate check first"
SUPPRESSED, SHOWN = "suppressed", "sent once more"
COMPARED, IGNORED = "compared", "ignored"
FIRST, NEW, NONE = "the first msgid", "a new msgid", "no msgid"


def suppressed(answer: str, first: str | None, said: Said, text: str) -> Steps[bool | None]:
    """Whether a call that came again was suppressed; `answer`: what suppressed ones hold, as far as is known."""
    msgid = said.text("msgid")
    if said.code == 0 and (msgid is None or msgid == first):
        return True
    if said.code != 0 or answer in (FIRST, NONE):
        return None if said.code else False
    seen: int | None = yield LookAtInbox(text)
    return None if seen is None else seen < 2


def again(subject: Subject) -> Steps[Sequence[FoundFact]]:
    """An equal body twice, then with other flags, then with its keys in another order; and what a recall answers."""
    body, text = flagged(a_text(subject, 1)), text_of(subject, 1)
    first: Said = yield send(body)
    if first.code or first.data.get("invaliduser") or first.data.get("unlicenseduser"):
        raise WorkerError(f"the person of --to gets no message ({first.code}); name a member who sees the app")
    msgid = first.text("msgid")
    said: Said = yield send(body)
    held = yield from suppressed("", msgid, said, text)
    if not held:
        settings = subject.changed("duplicate_window_s", 0, DUPLICATE_WINDOW_S) if held is False else {}
        return [FoundFact(REPEAT, UNTOLD if held is None else SHOWN, settings)]
    again = said.text("msgid")
    answer = NONE if again is None else FIRST if again == msgid else NEW
    found = [FoundFact(REPEAT, SUPPRESSED), FoundFact(ANSWER, answer)]
    # Another body, of which no member has got two yet.
    flags = yield from _twice(subject, answer, 2, lambda once: _sorted(flagged(once, DUPLICATE_WINDOW_S - 1)))
    keys = yield from _twice(subject, answer, 3, lambda once: dict(reversed(_sorted(flagged(once)).items())))
    return [*found, _compared(FLAGS, flags), _compared(KEYS, keys)]


def _sorted(body: Mapping[str, Any]) -> dict[str, Any]:
    return dict(sorted(body.items()))


def _twice(
    subject: Subject, answer: str, n: int, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> Steps[bool | None]:
    """Whether a body is suppressed that differs from an earlier one as `change` says."""
    once = a_text(subject, n)
    first: Said = yield send(flagged(once))
    # Not by `json_bytes`, which sorts.
    other = json.dumps(change(once), ensure_ascii=False, separators=(",", ":")).encode()
    said: Said = yield TrialCall(SEND, other, sends=True)
    return (yield from suppressed(answer, first.text("msgid"), said, text_of(subject, n)))


def _compared(fact: str, suppressed: bool | None) -> FoundFact:
    return FoundFact(fact, UNTOLD if suppressed is None else IGNORED if suppressed else COMPARED)


def unflagged(subject: Subject) -> Steps[Sequence[FoundFact]]:
    """The same body without the flag and then with it."""
    if subject.known.get(REPEAT) != SUPPRESSED:
        return []
    if subject.known.get(FLAGS) != IGNORED:
        return [FoundFact(UNFLAGGED, "do not matter: with the flag it is another body")]
    once = a_text(subject, 4)
    first: Said = yield send(once)
    said: Said = yield send(flagged(once))
    held = yield from suppressed(subject.known[ANSWER], first.text("msgid"), said, text_of(subject, 4))
    return [FoundFact(UNFLAGGED, UNTOLD if held is None else "count" if held else "do not count")]


def refused_again(subject: Subject) -> Steps[Sequence[FoundFact]]:
    """A body that is refused for its interval, and then without that fault: the same, where the flags are ignored."""
    if subject.known.get(REPEAT) != SUPPRESSED:
        return []
    if subject.known.get(FLAGS) == IGNORED:
        once = a_text(subject, 5)
        refused: Said = yield send(flagged(once, DUPLICATE_WINDOW_S + 1))
        counts = yield from _counts(subject, refused, flagged(once), text_of(subject, 5))
    elif subject.known.get(ORDER) == "duplicate check":
        # Its task_id is taken, so it is refused; the second time only if the check does not know it yet.
        other = flagged(a_card(subject, 6, task=1))
        refused = yield send(other)
        said: Said = yield send(other)
        counts = None if refused.code != TAKEN_TASK else said.code == 0
    else:
        return [FoundFact(REFUSED, "not told: no call can be refused first and taken later with the very same bytes")]
    return [FoundFact(REFUSED, UNTOLD if counts is None else "count" if counts else "do not count")]


def _counts(subject: Subject, refused: Said, body: Mapping[str, Any], text: str) -> Steps[bool | None]:
    """Whether the body is suppressed although its only earlier call was refused."""
    if refused.code == 0:
        return None
    second: Said = yield send(body)
    msgid = second.text("msgid")
    if second.code or msgid is None:
        return None if second.code else True
    if subject.known[ANSWER] != FIRST:
        return (yield from _counted(subject, text))
    # Had the second been suppressed, there would be no first msgid for the third to be answered with.
    third: Said = yield send(body)
    return third.text("msgid") != msgid


def _counted(subject: Subject, text: str) -> Steps[bool | None]:
    if subject.known[ANSWER] == NONE:
        return False
    seen: int | None = yield LookAtInbox(text)
    return None if seen is None else seen < 1


def task_ids(subject: Subject) -> Steps[Sequence[FoundFact]]:
    """A card twice, with the duplicate check on: which of the two checks answers."""
    body = flagged(a_card(subject, 7, task=1))
    first: Said = yield send(body)
    said: Said = yield send(body)
    if first.code:
        return [FoundFact(ORDER, f"not told: the card was refused with {first.code}")]
    if said.code == TAKEN_TASK:
        return [FoundFact(ORDER, "task_id")]
    if subject.known.get(REPEAT) == SHOWN:
        settings = subject.changed("task_id_window_s", 0, DUPLICATE_WINDOW_S)
        return [FoundFact(ORDER, "neither: the card was sent once more", settings)]
    return [FoundFact(ORDER, "duplicate check" if subject.known.get(REPEAT) == SUPPRESSED else UNTOLD)]
