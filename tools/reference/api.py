"""The pages of the public names: the library, the messages of the channels, the test kit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tools.reference.names import (
    Field,
    Method,
    door,
    fields,
    fixtures,
    has_fields,
    is_function,
    kit,
    library,
    method,
    methods,
    paragraphs,
    properties,
)
from tools.reference.text import Voice

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "Enqueue jobs": ("worker.producer.",),
    "Recipients, files and states": (
        "worker.domain.content.",
        "worker.domain.job",
        "worker.domain.state",
    ),
    "Read what became of a job": ("worker.reporting.", "worker.domain.mailing"),
    "Find jobs and act on them": ("worker.control.", "worker.domain.job_filter", "worker.domain.pause"),
    "Hooks": ("worker.hooks.", "worker.domain.callbacks."),
    "Settings and accounts": ("worker.accounts.", "worker.config.", "worker.domain.account"),
    "Database": ("worker.outbox.",),
    "Errors": ("worker.domain.errors",),
}
"""The headings, and the modules whose names stand below each; the longest module that fits decides."""
DOORS: Mapping[str, str] = {
    "wecom_app": "Application messages (`wecom_app`)",
    "webhook": "Message push and group robots (`webhook`)",
    "external": "Group sends to customers (`external`)",
    "youdu": "Youdu (`youdu`)",
}


def library_page(say: Voice) -> str:
    """The names of `worker` but for the messages."""
    return "\n".join(_library(say))


def _library(say: Voice) -> Iterator[str]:
    yield say.title(1, "Python API")
    yield f"{say(INTRODUCTION)}\n"
    found = {name: (section_of(one.__module__), one) for name, one in library().items()}
    for heading in SECTIONS:
        yield say.title(2, heading)
        for name, (section, one) in found.items():
            if section == heading:
                yield from _described(say, name, one)


INTRODUCTION = (
    "Every name of `from worker import ...`, out of the docstrings; the [messages of the channels](messages.md) and the"
    " [test kit](testing.md) have pages of their own. A function with a session takes SQLAlchemy's Session or"
    " Connection; with an async one it is awaited. [Enqueue, recall, update](../enqueue.md) shows how it is used."
)


def section_of(module: str) -> str:
    """The heading for the names of a module."""
    fits = [
        (len(start), heading) for heading, starts in SECTIONS.items() for start in starts if module.startswith(start)
    ]
    return max(fits)[1]


def messages_page(say: Voice) -> str:
    """The messages of every channel."""
    return "\n".join(_messages(say))


def _messages(say: Voice) -> Iterator[str]:
    yield say.title(1, "Messages")
    yield f"{say(OF_MESSAGES)}\n"
    told = dict[int, str]()
    for name, heading in DOORS.items():
        yield say.title(2, heading)
        same = list[tuple[str, str]]()
        for inner, one in door(name).items():
            public = inner if name == "wecom_app" else f"{name}.{inner}"
            if (first := told.setdefault(id(one), public)) != public:
                same.append((public, first))
                continue
            yield from _described(say, public, one)
        if same:
            yield f"{say('The same as in another channel:')}\n"
            yield say.table(("name", "is"), ((f"`{name}`", f"`{first}`") for name, first in same))


OF_MESSAGES = (
    "Every message, card and part of one, out of the docstrings. Fields keep the vendor's names; behind a limit stands"
    " the code with which the vendor refuses more, or that it cuts. Those of `wecom_app` are names of `worker` itself,"
    " too."
)


def kit_page(say: Voice) -> str:
    """The fixtures of the test kit, and the classes that they give."""
    return "\n".join(_kit(say))


def _kit(say: Voice) -> Iterator[str]:
    yield say.title(1, "Test kit")
    yield f"{say(OF_KIT)}\n"
    yield say.title(2, "Fixtures")
    yield say.table(("fixture", "meaning"), (_row(say, one) for one in fixtures()))
    yield say.title(2, "What they give")
    for name, one in kit().items():
        yield from _described(say, name, one)


OF_KIT = (
    "The pytest plugin of `worker_simulator.testing`, out of the docstrings; [test your application](../testing.md)"
    " shows how it is used."
)


def _described(say: Voice, name: str, one: Any) -> Iterator[str]:
    """A name with all that is told of it."""
    yield say.title(3, f"`{name}`")
    if is_function(one):
        yield from _function(say, method(name, one))
        return
    yield from (f"{say(text)}\n" for text in paragraphs(one))
    rows = [*(fields(one) if has_fields(one) else ()), *properties(one)]
    if rows:
        yield say.table(("field", "meaning"), (_row(say, each) for each in rows))
    for each in methods(one):
        yield from _function(say, each)


def _function(say: Voice, of: Method) -> Iterator[str]:
    yield f"```py\n{of.signature}\n```\n"
    yield from (f"{say(text)}\n" for text in of.paragraphs)
    if of.keywords:
        yield say.table(("keyword", "meaning"), (_row(say, one) for one in of.keywords))


def _row(say: Voice, one: Field) -> list[str]:
    return [f"`{one.name}`", say.explained(say(one.meaning), _code(one.type), say.default(_code(one.default)))]


def _code(text: str) -> str:
    return f"`{text}`" if text else ""
