"""What keeps the promises. Each can be taken out of the model, and then the search has to find a broken promise."""

from __future__ import annotations

from enum import StrEnum


class Guard(StrEnum):
    """One line of the program that a promise rests on, and where it is."""

    MARK_FIRST = "the mark is committed before the first byte (attempt.py, _start)"
    MARK_COMPARES = "a mark compares state and claim (marks.py, _may_begin)"
    MARK_CONFIRMED = "a mark that is committed again finds itself (marks.py, _is_confirmed)"
    MARK_IS_OWN = "a mark takes no other thread's mark for its own (marks.py, written)"
    LEASE_CHECKED = "no call begins without the lease (attempt.py, _obstacle)"
    END_COMPARES = "an end counts for its own call (group_commit.py, is_own_claim)"
    END_ONCE = "an end that is committed again changes nothing (group_commit.py, _existing_attempt)"
    SILENCE_IS_DOUBT = "no answer is no refusal (record.py, _verdict)"
    UNSENT_IS_SURE = "what certainly was not sent is in no doubt (record.py, requeue_unsent)"
    DOUBT_STAYS = "a refusal ends no other call's doubt (settle.py, _close)"
    LEASE_OVER = "recovery waits until the lease is over (recovery.py, _end_dead_processes)"
    ORPHANS_FOUND = "recovery finds the parts of dead processes (recovery.py, _doubt_orphans)"
    ORPHAN_COMPARES = "recovery compares the claim again when it writes (recovery.py, _orphan)"
    HOLDS = "recovery holds what nothing makes safe to repeat (recovery.py, _hold_reason)"
    CODE_LEASED = "a response_code is leased with the mark by compare-and-set (codes.py, lease_codes)"
    CODE_BURNED = "the response_code of a call in doubt is burned (codes.py, burn_leases)"
    LATE_END_BURNS = (
        "a late end of a part leaves no response_code leased by its newer call (group_commit.py, _end_call)"
    )
    CODE_IS_OWN = "a late end changes only a code that its part still has (codes.py, end_lease)"
