"""What a correction sends in place of each wrong message.

One message for all, the old message with texts replaced, or a message for each job.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from worker.channels.foreign import class_problems
from worker.channels.registry import channel
from worker.domain.content.message import Message
from worker.domain.content.recipient import Recipients
from worker.domain.content.replacement import with_replacements
from worker.domain.errors import CheckFailed, Problem
from worker.domain.job import JobId, id_of
from worker.domain.job_terms import text_hash
from worker.producer.plan import document_of, dump

NewMessage = Message | str | Mapping[str, Any]
"""A message, a plain text, or a body as the vendor's page shows it."""
SAMPLES = 3
"""How many of the messages a preview shows."""
SAMPLE_CHARACTERS = 200
_BEFORE = 60
"""Characters of a long text that a sample shows before its first difference."""


@dataclass(frozen=True, slots=True)
class CorrectionSample:
    """The message of a job, and the one in its place."""

    job: str
    """Id of the job."""
    account: str
    """The job's account."""
    old: str = field(repr=False)
    """The text of its message, at most 200 characters, from a little before the first difference on."""
    new: str | None = field(repr=False)
    """The same of the new message, or None if none was given."""


class NewMessages:
    """The new message of each job, parsed once the channel of the jobs is known."""

    def __init__(
        self,
        message: NewMessage | None,
        replace: Mapping[str, str] | None,
        messages: Mapping[JobId, NewMessage] | None,
    ):
        if [message, replace, messages].count(None) < 2:
            remedy = "give one message, texts to replace, or a message for each job"
            raise CheckFailed([Problem("message", "is given in more than one way", remedy)])
        if replace is not None and (not replace or any(not old or old == new for old, new in replace.items())):
            remedy = "give an old text and another one in its place"
            raise CheckFailed([Problem("replace", "has nothing to replace", remedy)])
        self._replace, self._channel = replace, ""
        self._given = (
            {None: message} if message is not None else {id_of(id): new for id, new in (messages or {}).items()}
        )
        self._messages: dict[str | None, Message] = {}
        self._documents: dict[str | None, dict[str, Any]] = {}
        self.is_one, self.is_given = message is not None, [message, replace, messages].count(None) < 3

    def parse_for(self, channels: Iterable[str]) -> None:
        """Parses the messages for these jobs. Raises CheckFailed if their channels differ, or it is no such message."""
        for name in channels:
            if self._channel not in ("", name):
                remedy = "name an account or a channel: each needs a message of its own"
                raise CheckFailed([Problem("filter", "is of jobs of several channels", remedy)])
            if not self._channel:
                self._channel = name
                self._messages = {id: self._parsed(content) for id, content in self._given.items()}
                self._documents = {id: document_of(message) for id, message in self._messages.items()}

    def _parsed(self, content: NewMessage) -> Message:
        own_channel = channel(self._channel)
        match content:
            case str():
                message = own_channel.plain_text(content)
            case Mapping():
                message = own_channel.reader().message_from_json(content)
            case _:
                message = content
        if message.files():
            remedy = "upload the file first, and give its media_id"
            raise CheckFailed([Problem("message", "has a file, which a correction cannot have", remedy)])
        return message

    def require_own(self, job_id: str, document: Mapping[str, Any], to: Recipients) -> None:
        """Raises CheckFailed if the message for a job has a class, a field or an option of another channel."""
        if (message := self._messages.get(None if self.is_one else job_id)) is None:
            return
        own_channel = channel(self._channel)
        if problems := [*class_problems(own_channel, message, own_channel.kind_of(document, to))]:
            raise CheckFailed(problems, channel=self._channel)

    def document(self, job_id: str, old: Mapping[str, Any]) -> dict[str, Any] | None:
        """Returns the new message of a job, or None if the job keeps its own. `old` is the one that is stored."""
        if self._replace is None:
            return self._documents.get(None if self.is_one else job_id)
        new = with_replacements(old, self._replace)
        if new == old:
            return None
        if old.get("files"):
            remedy = "correct these jobs with a message that has the file's media_id"
            raise CheckFailed([Problem("message", "has a file, which a correction cannot have", remedy)])
        return new

    def without_jobs(self, ids: Iterable[str]) -> int:
        """Counts the jobs for which a message was given and that are not among `ids`."""
        return 0 if self.is_one else len(self._given.keys() - {*ids})

    def arguments(self) -> dict[str, Any]:
        """Returns what the audit has of the messages: of one for all its hash, never a text."""
        if self.is_one:
            return {"text_hash": text_hash(dump(self._documents[None]))} if self._documents else {}
        return {"replaced": len(self._replace)} if self._replace else {"messages": len(self._given)}


def content_hash(document: Mapping[str, Any]) -> str:
    """Returns the hash of what people see of a stored message: without options, task_ids and copies of files."""
    kind, content = _content(document)
    if isinstance(content, Mapping):
        content = {name: value for name, value in content.items() if name != "task_id"}
    files = document.get("files")
    if isinstance(files, Mapping):
        files = [[path, entry.get("sha256")] for path, entry in files.items() if isinstance(entry, Mapping)]
    return text_hash(json.dumps([kind, content, files], sort_keys=True))


def sample(row: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any] | None) -> CorrectionSample:
    """Returns a sample of the message of a job's row and of the one in its place."""
    old_text, new_text = message_text(old), None if new is None else message_text(new)
    pairs = enumerate(zip(old_text, new_text or "", strict=False))
    begin = max(0, next((n for n, (before, after) in pairs if before != after), 0) - _BEFORE)
    old_text, new_text = _excerpt(old_text, begin), None if new_text is None else _excerpt(new_text, begin)
    return CorrectionSample(row["id"], row["account"], old_text, new_text)


def read_message(message: str) -> dict[str, Any]:
    """Returns a stored message. One that no release of ours wrote is a text as it stands."""
    try:
        document = json.loads(message)
    except (ValueError, RecursionError):
        document = None
    return document if isinstance(document, dict) else {"body": message}


def _content(document: Mapping[str, Any]) -> tuple[Any, Any]:
    """Returns the type of a stored message and what people see of it."""
    kind, body = document.get("type"), document.get("body")
    return kind, body.get(kind, body) if isinstance(body, Mapping) and isinstance(kind, str) else body


def _excerpt(text: str, begin: int) -> str:
    begin = begin if len(text) > SAMPLE_CHARACTERS else 0
    end = begin + SAMPLE_CHARACTERS
    return f"{'…' if begin else ''}{text[begin:end]}{'…' if len(text) > end else ''}"


def message_text(document: Mapping[str, Any]) -> str:
    """Returns the text of a stored message, or what people see as JSON if that is more than a text; empty for none."""
    _, content = _content(document)
    if content is None:
        return ""
    if isinstance(content, Mapping) and content.keys() == {"content"} and isinstance(content["content"], str):
        return content["content"]
    return json.dumps(content, ensure_ascii=False)
