"""The message of a job as people see it, as it is stored, and who it is for; its files, as far as they are stored.

All of it is shown only when it is asked for, because each look is in the audit: at the message, and at each file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, get_args

from markupsafe import Markup
from sqlalchemy import Connection

from worker.channels.checking.job import put
from worker.console.page import ConsoleRequest, Forbidden, NotFound, StoredFile, View
from worker.console.pages.job import RECIPIENTS, number_of
from worker.domain.content.message import INLINE
from worker.domain.errors import FileGone, JobNotFound
from worker.domain.job import Kind
from worker.drawing import Channel, MessageView, draw
from worker.drawing.files import kind_of, plain_name
from worker.outbox.jobs.blobs import blob_chunks, stored_blobs
from worker.reporting.find_job import row_of
from worker.reporting.recipient_status import RecipientStatus, recipients


@dataclass(frozen=True, slots=True)
class MessageFile:
    """A file that a stored message names."""

    place: str
    """Where in the message it stands, such as `image.media_id`."""
    name: str
    size: int | None
    """In bytes; None for a file behind a URL."""
    url: str | None
    """Where a worker fetches it; None: its bytes were given."""
    blob: str | None
    """Its bytes in the outbox; None: there are none."""
    address: str | None = None
    """The console's own, below the path under which it is mounted; None: its bytes are not stored, or not any more."""
    is_inline: bool = False
    """True for a webhook's picture, which is part of the message itself."""


def message(request: ConsoleRequest) -> View:
    """The message as people see it, as it is stored, and who it is for; a row in the audit says who looks."""
    row = _row(request)
    text = request.text(row["account"], row["id"], lambda: _text(request, row))
    title = f"{request.term('job.message')} {row['id']}"
    return View.of("message.html", title, id=row["id"], text=text, most=RECIPIENTS)


def file(request: ConsoleRequest) -> StoredFile:
    """One file of the message, piece by piece; a row in the audit says who looks, before anything of it is read."""
    row, n = _row(request), number_of(request.path["n"])
    found = request.text(row["account"], f"{row['id']}/files/{n}", lambda: _opened(request, row, n))
    if found is None:
        raise Forbidden
    return found


def _row(request: ConsoleRequest) -> Mapping[str, Any]:
    try:
        with request.reading() as connection:
            return row_of(connection, request.path["job"])
    except (JobNotFound, UnicodeEncodeError):
        raise NotFound from None


def _opened(request: ConsoleRequest, row: Mapping[str, Any], n: int) -> StoredFile:
    """The file with its first piece read; NotFound where it is not stored, or not any more."""
    with request.reading() as connection:
        found = _files(connection, row["id"], _document(row["message"]))[n : n + 1]
    if not found or found[0].address is None or found[0].blob is None:
        raise NotFound
    pieces = blob_chunks(request.site.database, found[0].blob)
    try:
        first = next(pieces, b"")
    except FileGone:
        raise NotFound from None
    whole = chain([first] if first else [], pieces)
    return StoredFile(plain_name(found[0].name), found[0].size or 0, kind_of(first), whole)


def _text(request: ConsoleRequest, row: Mapping[str, Any]) -> dict[str, Any]:
    """The message, its files, and at most 500 recipients of each status."""
    document = _document(row["message"])
    with request.reading() as connection:
        people = {
            status.value: recipients(connection, row["id"], status, limit=RECIPIENTS + 1) for status in RecipientStatus
        }
        files = _files(connection, row["id"], document)
    return {
        "drawn": _drawn(request, row, document, files),
        "raw": json.dumps(document, ensure_ascii=False, indent=2),
        "files": files,
        "people": {status: named for status, named in people.items() if named},
    }


def _drawn(
    request: ConsoleRequest, row: Mapping[str, Any], document: Mapping[str, Any], files: Sequence[MessageFile]
) -> Markup | None:
    """A stored message as people see it; None for a job that shows them none, and on a channel kept elsewhere."""
    if row["channel"] not in get_args(Channel):
        return None
    match row["kind"]:
        case Kind.SEND:
            kind, content = _content({**document, "body": _with_files(request, document.get("body"), files)})
            shown = MessageView(channel=row["channel"], msgtype=kind, content=content)
        case Kind.UPDATE_CARD:
            shown = _updated(row["channel"], _target(request, row), _with_files(request, document, files))
        case _:
            return None
    own = {request.address(one.address) for one in files if one.address is not None}
    return draw(replace(shown, media=lambda media_id: media_id if media_id in own else None), request.viewer.lang)


def _with_files(request: ConsoleRequest, tree: Any, files: Sequence[MessageFile]) -> Any:
    """The message with the address of each file in its place; of one that is not stored, with its name."""
    for one in files:
        steps = one.place.split(".")
        # Of a webhook's picture the message has the bytes and their md5, and pages know it by the latter.
        steps = [*steps[:-1], "md5"] if one.is_inline else steps
        try:
            tree = put(tree, steps, one.name if one.address is None else request.address(one.address))
        except (AttributeError, IndexError, TypeError, ValueError):
            # A broken producer's message has no such place: its files are listed beside it.
            continue
    return tree


def _content(document: Mapping[str, Any]) -> tuple[str, Any]:
    """The type of a stored message, and the vendor's object of that type."""
    kind, body = str(document.get("type", "")), document.get("body")
    return kind, body.get(kind, body) if isinstance(body, Mapping) else body


def _updated(channel: Channel, card: Any, document: Mapping[str, Any]) -> MessageView:
    """The card after an update; of a card that the outbox does not have, only what the update says."""
    if "template_card" in document:
        update = {"template_card": document["template_card"]}
        if card is None:
            return MessageView(channel=channel, msgtype="template_card", content=document["template_card"])
    else:
        button = document.get("button")
        update = {"replace_name": button.get("replace_name") if isinstance(button, Mapping) else ""}
    return MessageView(channel=channel, msgtype="template_card", content=card or {}, update=update)


def _target(request: ConsoleRequest, row: Mapping[str, Any]) -> Any:
    """The card that a job updates; None where the outbox has it no more, or it is of another account."""
    try:
        with request.reading() as connection:
            found = row_of(connection, row["target_job_id"]) if row["target_job_id"] else None
    except JobNotFound:
        return None
    return _content(_document(found["message"]))[1] if found and found["account"] == row["account"] else None


def _document(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"type": "", "body": text}


def _files(connection: Connection, job: str, document: Mapping[str, Any]) -> list[MessageFile]:
    """The files that a message names, in its order, and which of them are stored."""
    files = document.get("files")
    found = [_file(place, one) for place, one in files.items()] if isinstance(files, Mapping) else []
    stored = stored_blobs(connection, [one.blob for one in found if one.blob is not None])
    return [
        replace(one, address=f"/jobs/{job}/files/{n}/{plain_name(one.name)}") if one.blob in stored else one
        for n, one in enumerate(found)
    ]


def _file(place: str, entry: Any) -> MessageFile:
    given = entry if isinstance(entry, Mapping) else {}
    texts = {key: value if isinstance(value := given.get(key), str) else None for key in ("name", "url", "blob")}
    size = given.get("size")
    return MessageFile(
        place,
        texts["name"] or texts["url"] or place,
        size if isinstance(size, int) else None,
        texts["url"],
        texts["blob"],
        is_inline=given.get("upload_type") == INLINE,
    )
