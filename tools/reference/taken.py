"""The page of what each channel takes: every message class, field and form of recipients, tried at every channel."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydantic import BaseModel

from tools.reference.samples import fields_of, variants
from tools.reference.text import Voice
from worker.channels.foreign import messages, public_name
from worker.channels.registry import channel
from worker.config.accounts import FixedAccounts
from worker.config.channels import REGISTRY
from worker.domain.account import Account, Secret
from worker.domain.content.message import Message
from worker.domain.content.recipient import (
    AppChat,
    Chats,
    CustomerGroups,
    Customers,
    Emails,
    Everyone,
    Recipients,
    To,
)
from worker.domain.errors import CheckFailed, Problem
from worker.language import translate
from worker.producer.enqueue import build_request
from worker.producer.plan import plan

PLACES: Mapping[str, tuple[str, Recipients | None]] = {
    "wecom_app": ("app", To(users=["zhangsan"])),
    "its group chats": ("app", AppChat("chat1")),
    "webhook robot": ("robot", None),
    "webhook push": ("push", Chats("wr1")),
    "wecom_external": ("sales", Customers({"zhangsan": ["wm1"]})),
    "youdu": ("im", To(users=["zhangsan"])),
}
"""The columns: an account, and recipients that all its messages can have."""
RECIPIENTS: Mapping[str, Recipients] = {
    "To(users=...)": To(users=["zhangsan"]),
    "To(parties=...)": To(parties=["2"]),
    "To(tags=...)": To(tags=["2"]),
    "AppChat(...)": AppChat("chat1"),
    "Chats(...)": Chats("wr1"),
    "Customers(...)": Customers({"zhangsan": ["wm1"]}),
    "CustomerGroups(...)": CustomerGroups({"zhangsan": ["wr1"]}),
    "Emails(...)": Emails("a@example.com"),
    "Everyone()": Everyone(),
    'Everyone("groups")': Everyone("groups"),
    'Everyone("blackboards")': Everyone("blackboards"),
    'Everyone("all")': Everyone("all"),
    "none": Recipients(),
}


@cache
def accounts() -> FixedAccounts:
    """An account of each channel that allows what an account can allow."""
    push = {"edition": "push", "chatid_for": ["miniprogram", "file", "voice", "template_card"]}
    corp = {"corpid": "ww1", "agentid": 1, "callback": True}
    settings: Mapping[str, tuple[str, dict[str, Any]]] = {
        "app": ("wecom_app", corp),
        "robot": ("wecom_webhook", {"edition": "robot"}),
        "push": ("wecom_webhook", push),
        "sales": ("wecom_external", {"corpid": "ww1"}),
        "im": ("youdu", {"buin": 7654321, "appid": "yd1", "sso_hosts": ["example.com"]}),
    }
    return FixedAccounts(
        Account(name, vendor, "https://vendor.example", values, Secret(lambda: "secret"), allow_everyone=True)
        for name, (vendor, values) in settings.items()
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the program says to one job."""

    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = field(default=())


def ask(account: str, message: Message, to: Recipients | None) -> Answer:
    """Checks a job as `enqueue` does, and inserts nothing."""
    try:
        return Answer(warnings=plan(build_request(account, message, to, {}, accounts()), b"0" * 16).warnings)
    except CheckFailed as error:
        return Answer(problems=error.problems)


def classes() -> Iterator[tuple[str, str, type[BaseModel]]]:
    """Yields the channel, the public name and the class of each message; what several share stands with the first."""
    seen = set[type[BaseModel]]()
    for name in REGISTRY:
        for made in messages(name).values():
            if made not in seen:
                yield name, public_name(name, made), made
            seen.add(made)


def recipients_for(place: str, message: Message) -> Recipients | None:
    """Returns the recipients of a place, or None for a message that goes to nobody, such as an upload."""
    account, to = PLACES[place]
    vendor = channel(accounts().get(account).channel)
    kind = vendor.kind_of(message.document(), Recipients())
    return to if kind in vendor.sends else None


def answer_of(place: str, made: type[BaseModel], fields: Mapping[str, Any]) -> Answer:
    """Returns what is said to a message of this class at a place."""
    message: Any = made(**fields)
    return ask(PLACES[place][0], message, recipients_for(place, message))


@cache
def further_fields(place: str, made: type[BaseModel]) -> tuple[list[str], list[str]]:
    """Tries the further fields of a class that a place takes, and one that is refused there also elsewhere.

    Returns the paths of refused fields that other places take, and of those with a warning the message's own fields.
    """
    base, refused, warned = answer_of(place, made, fields_of(made)), list[str](), list[str]()
    for path, fields in variants(made):
        answer = answer_of(place, made, fields)
        if answer.problems:
            others = (answer_of(other, made, fields) for other in PLACES if other != place)
            refused += [path] if any(not other.problems for other in others) else []
        elif "." not in path and set(answer.warnings).difference(base.warnings):
            warned.append(path)
    return refused, warned


# -- the page ----------------------------------------------------------------------------------------------------------


def page(say: Voice) -> str:
    """The whole page."""
    return "\n".join(_sections(say))


def _sections(say: Voice) -> Iterator[str]:
    yield say.title(1, "What each channel takes")
    yield f"{say(INTRODUCTION)}\n"
    yield say.title(2, "Messages")
    yield f"{say(MESSAGES)}\n"
    head = ("message", "at each channel")
    rows = (
        [f"`{name}`", _lines(say, {at: _class_cell(say, at, made) for at in PLACES})] for _, name, made in classes()
    )
    yield say.table(head, rows)
    yield say.title(2, "Recipients")
    yield f"{say(TO)}\n"
    forms = ([_form(say, form), _lines(say, dict(_recipient_cells(say, to)))] for form, to in RECIPIENTS.items())
    yield say.table(("recipients", head[1]), forms)
    yield say.title(2, "Fields beside a message")
    yield f"{say(BESIDE)}\n"
    names = sorted({one for vendor in REGISTRY for one in channel(vendor).beside})
    fields = ([f"`{one}`", _lines(say, {at: _beside_cell(say, at, one) for at in ACCOUNTS})] for one in names)
    yield say.table(("field", head[1]), fields)


ACCOUNTS = tuple(at for at in PLACES if at != "its group chats")
"""The columns that are an account each."""


def _lines(say: Voice, cells: Mapping[str, str]) -> str:
    """Returns a line for each answer, with the places that give it."""
    places: dict[str, list[str]] = {}
    for place, cell in cells.items():
        places.setdefault(cell, []).append(say(place))
    return "<br>".join(say("{}: {}", say.listed(names), cell) for cell, names in places.items())


INTRODUCTION = (
    "What `enqueue` says when a message, a field or recipients meet an account of a channel. This page is made by"
    " trying each of them. A refusal is a `CheckFailed` before anything is stored. A message that is not of the channel"
    " is taken where the channel has a type of the same name, and each field that is set is one of it."
)
MESSAGES = (
    "A cell says yes, with the fields that are refused there; or what to use. `Raw` and an upload are taken by each"
    " channel that has them; a type without a class is sent only as a `Raw`, or read with `raw=True`."
)
TO = "A cell says yes, or which messages alone can have these recipients, or what to use."
BESIDE = (
    "Fields that stand beside the message's own object in a body, also in a `Raw`. What the worker sets out of account"
    " and recipients is refused in each body."
)


def _class_cell(say: Voice, place: str, made: type[BaseModel]) -> str:
    if made.__name__ == "CardUpdate" and place in ("wecom_app", "its group chats"):
        return say("by `update_card`") if place == "wecom_app" else say("no")
    answer = answer_of(place, made, fields_of(made))
    if answer.problems:
        return _no(say, answer.problems)
    refused, warned = (say.listed(f"`{path}`" for path in _outermost(one)) for one in further_fields(place, made))
    taken = say("yes, without {}", refused) if refused else say("yes")
    return say.listed([taken, say("warned: {}", warned)]) if warned else taken


def _outermost(paths: Iterable[str]) -> list[str]:
    """Leaves out the fields inside an object that is refused itself."""
    kept: list[str] = []
    for path in paths:
        if not any(path.startswith((f"{one}.", f"{one}[")) for one in kept):
            kept.append(path)
    return kept


def _no(say: Voice, problems: Iterable[Problem]) -> str:
    remedies = dict.fromkeys(problem.remedy for problem in problems)
    first = next(iter(remedies))
    return say("no: {}", _in_language(say, first))


def _in_language(say: Voice, text: str) -> str:
    """A sentence of the program, whose Chinese is in `worker.language`; names of classes become code."""
    found = translate(text, say.language)
    if say.language == "zh" and found == text:
        say.missing.append(text)
    return _names().sub(r"`\g<0>`", found)


@cache
def _names() -> re.Pattern[str]:
    """What is code in a sentence: public classes, calls and settings."""
    names = "|".join(
        sorted({re.escape(public_name(at, made)) for at in REGISTRY for made in messages(at).values()}, reverse=True)
    )
    forms = "To|Everyone|AppChat|Chats|Customers|CustomerGroups|Emails|"
    return re.compile(rf"(?<![\w.\"])(?:(?:{forms}{names})\b(?:\((?:[^()]|\(\))*\))?|edition = \"push\")")


def _form(say: Voice, form: str) -> str:
    return say("none") if form == "none" else f"`{form}`"


def _recipient_cells(say: Voice, to: Recipients) -> Iterator[tuple[str, str]]:
    for place in ACCOUNTS:
        yield place, _recipient_cell(say, PLACES[place][0], to)


def _recipient_cell(say: Voice, account: str, to: Recipients) -> str:
    vendor = channel(accounts().get(account).channel)
    answers: dict[str, Answer] = {}
    for made in messages(vendor.name).values():
        message: Any = made(**fields_of(made))
        if made.__name__ != "Raw" and vendor.kind_of(message.document(), Recipients()) in vendor.sends:
            answers[public_name(vendor.name, made)] = ask(account, message, to)
    taken = [name for name, answer in answers.items() if not answer.problems]
    others = [name for name in answers if name not in taken]
    if not taken:
        found = [problem for answer in answers.values() for problem in answer.problems]
        return _no(say, sorted(found, key=lambda problem: problem.field != "to"))
    if not others:
        return say("yes")
    if len(taken) <= len(others):
        return say("only {}", say.listed(f"`{name}`" for name in taken))
    return say("yes, without {}", say.listed(f"`{name}`" for name in others))


def _beside_cell(say: Voice, place: str, name: str) -> str:
    account, to = PLACES[place]
    vendor = channel(accounts().get(account).channel)
    if name in _set_by_the_worker(vendor.name):
        return say("set by the worker")
    raw = messages(vendor.name)["Raw"]
    own = {"text": {"content": "text"}}
    fields: dict[str, Any] = {"body": {**own, name: 1 if name in ("safe", "enable_id_trans") else "a"}}
    message: Any = raw(**fields) if "msgtype" not in raw.model_fields else raw(msgtype="text", **fields)
    problems = [one for one in ask(account, message, to).problems if one.field == name]
    return say("yes") if not problems else say("no")


def _set_by_the_worker(vendor: str) -> frozenset[str]:
    with warnings.catch_warnings():
        return channel(vendor).beside - {"safe", "enable_id_trans", "post_id", "visible_to_user"}
