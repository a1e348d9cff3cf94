"""What became of the recalls, card updates and uploads of a crash cell: lost, doubled, or once.

Judged by what people see and what the vendor holds, not by what the outbox believes of itself.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from rig.crash.mix import Mix
from rig.stack import Stack

ACCEPTED, REJECTED, UNKNOWN = 2, 4, 6


@dataclass(frozen=True, slots=True)
class Others:
    """Figures of everything that is no send."""

    once: int
    twice: int
    lost: int
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Followup:
    """One part that is no send, as the outbox has it at the end."""

    id: str
    target: str | None
    state: int
    reason: str | None
    spec: dict[str, Any]
    message: str

    @property
    def excused(self) -> bool:
        """In doubt, or refused with a reason: it says so, so it is not lost in silence."""
        return self.state == UNKNOWN or (self.state == REJECTED and bool(self.reason))


def judge_others(stack: Stack, mix: Mix, inbox: dict[str, list[dict[str, Any]]]) -> Others:
    """Judges every recall, update and upload; the inbox is what everybody sees in the end."""
    judge = _Judge(stack, mix, inbox)
    for followup in _followups(stack, "recall"):
        judge.recall(followup)
    for followup in _followups(stack, "update_card"):
        judge.update(followup)
    for followup in _followups(stack, "upload"):
        judge.upload(followup)
    asked = len(set(mix.others) - {row[0] for row in stack.rows("select job_id from worker_parts")})
    return Others(judge.once, judge.twice, judge.lost + asked, tuple(judge.broken))


class _Judge:
    def __init__(self, stack: Stack, mix: Mix, inbox: dict[str, list[dict[str, Any]]]):
        self.once = self.twice = self.lost = 0
        self.broken: list[str] = []
        self._stack, self._mix = stack, mix
        self._inbox = inbox
        self._whole = [call for call in stack.vendor.calls() if call["received"] == "whole"]
        query = "select part_id, count(*) from worker_attempts where doubtful group by part_id"
        self._doubts = Counter(dict(stack.rows(query)))

    def recall(self, part: Followup) -> None:
        """Accepted: nobody sees the message any more. Called again only after a doubt."""
        msgid = part.spec.get("msgid")
        calls = sum(call["path"].endswith("/recall") and _said(call)["msgid"] == msgid for call in self._whole)
        seen = [one for person in self._people(part) for one in self._inbox.get(person, [])]
        shown = [one for one in seen if one["state"] == "shown" and msgid in (None, one["msgid"])]
        doubled = bool(msgid) and calls > 1 + self._doubts[part.id]
        self._judged(part, "recall", took=not shown and bool(calls or not msgid), doubled=doubled)

    def update(self, part: Followup) -> None:
        """Accepted: its one code is spent in one call, and everybody's card shows it."""
        query = "select code, state from worker_response_codes where leased_by = :part"
        codes = {code: state for code, state in self._stack.rows(query, part=part.id) if state != "fresh"}
        calls = Counter(_said(call)["response_code"] for call in self._whole if "update_template_card" in call["path"])
        cards = [one for person in self._people(part) for one in self._inbox.get(person, [])]
        shows = bool(cards) and all(one["update"] for one in cards)
        took = (shows and list(codes.values()) == ["spent"]) if codes else not cards
        self._judged(part, "update", took=took, doubled=any(calls[code] > 1 for code in codes))

    def upload(self, part: Followup) -> None:
        """Accepted: the media_id in the receipt is the vendor's for this file; more than one only after a doubt."""
        calls = [call for call in self._whole if call["path"].endswith("media/upload")]
        given = [_answered(call).get("media_id") for call in calls if call["body"]["filename"] in part.message]
        query = "select media_id from worker_receipts where part_id = :part"
        kept = [row[0] for row in self._stack.rows(query, part=part.id)]
        doubled = len(given) > 1 + self._doubts[part.id] or len(kept) > 1
        self._judged(part, "upload", took=len(kept) == 1 and kept[0] in given, doubled=doubled)

    def _people(self, part: Followup) -> list[str]:
        return self._mix.sends.get(part.target or "", [])

    def _judged(self, part: Followup, kind: str, *, took: bool, doubled: bool) -> None:
        fine = took if part.state == ACCEPTED else part.excused
        self.twice += doubled
        self.lost += not fine
        self.once += fine and not doubled and part.state == ACCEPTED
        if doubled or not fine:
            what = "doubled" if doubled else "without effect"
            self.broken.append(f"{kind} {part.id} {what}: state {part.state}, {part.reason}, {part.spec}")


def _followups(stack: Stack, kind: str) -> list[Followup]:
    query = (
        "select p.id, j.target_job_id, p.state, p.reason, p.spec, j.message"
        " from worker_parts p join worker_jobs j on j.id = p.job_id where j.kind = :kind order by p.id"
    )
    rows = stack.rows(query, kind=kind)
    return [Followup(row[0], row[1], row[2], row[3], json.loads(row[4]), row[5]) for row in rows]


def _said(call: dict[str, Any]) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(call["body"])
    return said


def _answered(call: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(call["answer"]["body"]) if call["answer"] else {}
    return answer
