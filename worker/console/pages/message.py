"""The message of a job as its recipients see it and as it is stored, its recipients, and its files.

The message and each file have pages of their own, because the audit records every view.
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
from worker.console.pages.job import RECIPIENTS, number_in_path
from worker.console.rendering import short
from worker.domain.content.message import INLINE
from worker.domain.errors import FileGone, JobNotFound
from worker.domain.job import JobKind
from worker.domain.stored import stored_object
from worker.drawing import Channel, MessageView, draw
from worker.drawing.files import kind_of, plain_name
from worker.outbox.jobs.blobs import blob_chunks, stored_blobs
from worker.reporting.find_job import row_of
from worker.reporting.recipient_status import RecipientStatus, recipients


@dataclass(frozen=True, slots=True)
class MessageFile:
    """A file of a stored message."""

    place: str
    """Its place in the message, such as `image.media_id`."""
    name: str
    size: int | None
    """In bytes; None for a file behind a URL."""
    url: str | None
    """The URL from which a worker fetches it; None if the producer enqueued its bytes."""
    blob: str | None
    """The id of its bytes in the outbox; None if it has none there."""
    address: str | None = None
    """Its path in the console, below the mount path; None if its bytes are not stored, or not any more."""
    is_inline: bool = False
    """True for a webhook's picture, which is part of the message itself."""


def message(request: ConsoleRequest) -> View:
    """Shows the message as recipients see it and as it is stored, and its recipients. The audit records each view."""
    row = _row(request)
    text = request.text(row["account"], row["id"], lambda: _text(request, row))
    title = f"{request.term('job.message')} {short(row['id'])}"
    return View.of("message.html", title, id=row["id"], text=text, max_recipients=RECIPIENTS)


def file(request: ConsoleRequest) -> StoredFile:
    """Sends one file of the message. The audit records who opens it, before anything is read."""
    row, n = _row(request), number_in_path(request)
    stored = request.text(row["account"], f"{row['id']}/files/{n}", lambda: _opened(request, row, n))
    if stored is None:
        raise Forbidden
    return stored


def _row(request: ConsoleRequest) -> Mapping[str, Any]:
    try:
        with request.reading() as connection:
            return row_of(connection, request.path["job"])
    except (JobNotFound, UnicodeEncodeError):
        raise NotFound from None


def _opened(request: ConsoleRequest, row: Mapping[str, Any], n: int) -> StoredFile:
    """Returns the file with its first piece already read; NotFound if it is not stored, or not any more."""
    with request.reading() as connection:
        files = _files(connection, row["id"], _document(row["message"]))[n : n + 1]
    if not files or files[0].address is None or files[0].blob is None:
        raise NotFound
    pieces = blob_chunks(request.site.database, files[0].blob)
    try:
        first_piece = next(pieces, b"")
    except FileGone:
        raise NotFound from None
    whole = chain([first_piece] if first_piece else [], pieces)
    return StoredFile(plain_name(files[0].name), files[0].size or 0, kind_of(first_piece), whole)


def _text(request: ConsoleRequest, row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the message, its files, and at most 500 recipients of each status (and one more if there are more)."""
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
    """Returns a stored message as recipients see it; None if the job shows them none, or the channel has no drawing."""
    if row["channel"] not in get_args(Channel):
        return None
    match row["kind"]:
        case JobKind.SEND:
            kind, content = _content({**document, "body": _with_files(request, document.get("body"), files)})
            view = MessageView(channel=row["channel"], msgtype=kind, content=content)
        case JobKind.UPDATE_CARD:
            view = _updated(row["channel"], _target(request, row), _with_files(request, document, files))
        case _:
            return None
    addresses = {request.address(file.address) for file in files if file.address is not None}
    return draw(replace(view, media=lambda media_id: media_id if media_id in addresses else None), request.viewer.lang)


def _with_files(request: ConsoleRequest, tree: Any, files: Sequence[MessageFile]) -> Any:
    """Returns the message with each file replaced by its address, or by its name if it is not stored."""
    for file in files:
        path = file.place.split(".")
        # A webhook's picture is in the message as bytes and md5; the drawing finds it by the md5.
        path = [*path[:-1], "md5"] if file.is_inline else path
        try:
            tree = put(tree, path, file.name if file.address is None else request.address(file.address))
        except (AttributeError, IndexError, TypeError, ValueError):
            # The message of a faulty producer has no such place. The page lists its files all the same.
            continue
    return tree


def _content(document: Mapping[str, Any]) -> tuple[str, Any]:
    """Returns the type of a stored message, and the vendor's object of that type."""
    kind, body = str(document.get("type", "")), document.get("body")
    return kind, body.get(kind, body) if isinstance(body, Mapping) else body


def _updated(channel: Channel, card: Any, document: Mapping[str, Any]) -> MessageView:
    """Returns the card after an update; only the update itself if the outbox does not have the card."""
    if "template_card" in document:
        update = {"template_card": document["template_card"]}
        if card is None:
            return MessageView(channel=channel, msgtype="template_card", content=document["template_card"])
    else:
        button = document.get("button")
        update = {"replace_name": button.get("replace_name") if isinstance(button, Mapping) else ""}
    return MessageView(channel=channel, msgtype="template_card", content=card or {}, update=update)


def _target(request: ConsoleRequest, row: Mapping[str, Any]) -> Any:
    """Returns the card that a job updates, or None if it was deleted or belongs to another account."""
    try:
        with request.reading() as connection:
            target = row_of(connection, row["target_job_id"]) if row["target_job_id"] else None
    except JobNotFound:
        return None
    return _content(_document(target["message"]))[1] if target and target["account"] == row["account"] else None


def _document(text: str) -> dict[str, Any]:
    return stored_object(text) or {"type": "", "body": text}


def _files(connection: Connection, job: str, document: Mapping[str, Any]) -> list[MessageFile]:
    """Returns the files of a message in its order; those that are stored have an address."""
    entries = document.get("files")
    files = [_file(place, file) for place, file in entries.items()] if isinstance(entries, Mapping) else []
    stored_ids = stored_blobs(connection, [file.blob for file in files if file.blob is not None])
    return [
        replace(file, address=f"/jobs/{job}/files/{n}/{plain_name(file.name)}") if file.blob in stored_ids else file
        for n, file in enumerate(files)
    ]


def _file(place: str, entry: Any) -> MessageFile:
    fields = entry if isinstance(entry, Mapping) else {}
    texts = {key: value if isinstance(value := fields.get(key), str) else None for key in ("name", "url", "blob")}
    size = fields.get("size")
    return MessageFile(
        place,
        texts["name"] or texts["url"] or place,
        size if isinstance(size, int) else None,
        texts["url"],
        texts["blob"],
        is_inline=fields.get("upload_type") == INLINE,
    )
