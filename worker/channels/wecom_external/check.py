"""Finds what is wrong with a job, all at once, before anything is stored, and what may surprise its sender.

Refuses what the vendor would ignore in silence, and what it is known to refuse: its 40058 names no field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from worker.channels.checking import rules
from worker.channels.checking.job import Checks, body_problems, file_places, misplaced, upload_problems
from worker.channels.checking.targets import no_targets
from worker.channels.wecom import upload
from worker.channels.wecom_external import targets
from worker.channels.wecom_external.messages import ATTACHMENTS, BODY, OURS
from worker.domain.errors import Problem
from worker.domain.job import Draft, JobKind


def warnings(draft: Draft) -> list[str]:
    """Returns what is allowed in a campaign but worth a warning."""
    if draft.kind != JobKind.SEND:
        return []
    return [*_cautions(draft), *targets.warnings(draft)]


def _body_problems(draft: Draft) -> Iterator[Problem]:
    body = draft.message.get("body")
    if draft.message.get("type") not in ("campaign", "raw") or not isinstance(body, Mapping):
        yield Problem("body", "is no campaign", "use external.Campaign(...), or external.Raw(body=...)")
        return
    yield from body_problems(draft, OURS)
    yield from rules.problems("", body, BODY, draft.message.get("files") or {})
    yield from _type_problems(draft.message)


def attachments(body: Mapping[str, Any]) -> Iterator[tuple[int, str, Mapping[str, Any] | None]]:
    """Yields index, msgtype and own object of each attachment. The object is None if it is missing."""
    listed = body.get("attachments")
    for i, entry in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(entry, Mapping):
            own = entry.get(str(entry.get("msgtype")))
            yield i, str(entry.get("msgtype")), own if isinstance(own, Mapping) else None


def _type_problems(document: Mapping[str, Any]) -> Iterator[Problem]:
    """Checks that each attachment has a type, and an object of that name."""
    for i, msgtype, own in attachments(document["body"]):
        if msgtype not in ATTACHMENTS and document["type"] != "raw":
            known = ", ".join(ATTACHMENTS)
            yield Problem(f"attachments[{i}].msgtype", "is no type (vendor code 41065)", f"use one of {known}")
        elif own is None:
            text = "has no object named like its msgtype (vendor code 40058)"
            yield Problem(f"attachments[{i}]", text, "put the fields under the name of the type")


def _attached_problems(draft: Draft) -> Iterator[Problem]:
    """Checks the files of a campaign: each fills an empty path of the body and suits its upload type."""
    body = draft.message.get("body")
    wanted = file_places("", body, BODY) if isinstance(body, Mapping) else {}
    for path, file in (draft.message.get("files") or {}).items():
        yield from upload.file_problems(path, file)
        yield from misplaced(draft.message, path, file, wanted, upload.UPLOADS, 40007)


def _cautions(draft: Draft) -> Iterator[str]:
    files = draft.message.get("files") or {}
    yield from rules.cautions("", draft.message["body"], BODY)
    for i, msgtype, own in attachments(draft.message["body"]):
        if msgtype == "image" and own and own.get("pic_url"):
            if own.get("media_id") or f"attachments.{i}.image.media_id" in files:
                yield f"attachments[{i}].image.pic_url: the vendor ignores it beside media_id"
            yield f"attachments[{i}].image.pic_url: only the url of an uploadimg upload is taken; as_url=True makes one"


CHECKS: Checks = {
    JobKind.SEND: (_body_problems, _attached_problems, targets.send_problems),
    JobKind.UPLOAD: (partial(upload_problems, of_file=upload.file_problems), no_targets),
    JobKind.RECALL: (no_targets,),
    "remind": (no_targets,),
    "track": (no_targets,),
}
"""The checks of each kind of job."""
