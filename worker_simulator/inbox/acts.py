"""What a form of the page asks for, as the control call that does it.

Does nothing itself: a press in the page is the press of a test.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from worker_simulator import control
from worker_simulator.inbox.conversations import Conversations, place_of
from worker_simulator.inbox.look import ConversationKey
from worker_simulator.request import HttpRequest, Json
from worker_simulator.settings import AppSettings, SettingsGroup, WebhookKey
from worker_simulator.wecom_app.state.inbox import InboxMessage
from worker_simulator.world import Controlled, World

CHOICE = "choice:"
Method = Literal["POST", "DELETE"]


@dataclass(frozen=True, slots=True)
class Form:
    """What a page sent, each field once but the choices of a card."""

    pairs: list[tuple[str, str]]

    @classmethod
    def of(cls, request: HttpRequest) -> Form:
        """The fields of a form; ValueError says what is wrong with them."""
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            raise ValueError("a page sends its forms as application/x-www-form-urlencoded")
        text = request.body.decode("utf-8", "replace")
        return cls(parse_qsl(text, keep_blank_values=True, max_num_fields=500))

    def get(self, name: str) -> str:
        """The last value of a field; empty where there is none."""
        return next((value for key, value in reversed(self.pairs) if key == name), "")

    def choices(self) -> dict[str, list[str]]:
        """The options chosen of each question."""
        found: dict[str, list[str]] = {}
        for name, value in self.pairs:
            if name.startswith(CHOICE) and value:
                found.setdefault(name.removeprefix(CHOICE), []).append(value)
        return found


@dataclass(frozen=True, slots=True)
class ToDo:
    """The control call that an act stands for."""

    name: str
    body: Any = None
    method: Method = "POST"


@dataclass(frozen=True, slots=True)
class ActOutcome:
    """What became of an act."""

    ok: bool
    why: str = ""
    """What control says of an act that it refuses."""


def carry_out(simulator: Controlled, conversations: Conversations, name: str, form: Form) -> ActOutcome | None:
    """Let control do what a form asks for; None where there is no such act."""
    act = ACTS.get(name)
    if act is None:
        return None
    try:
        call = act(PageAct(simulator.world, conversations, form))
    except ValueError as error:
        return ActOutcome(False, str(error))
    body = b"" if call.body is None else json.dumps(call.body).encode()
    answer = control.answer(simulator, HttpRequest(call.method, f"{control.PREFIX}{call.name}", {}, body=body))
    return ActOutcome(answer.status == 200, "" if answer.status == 200 else str(json.loads(answer.body)["error"]))


@dataclass(frozen=True, slots=True)
class PageAct:
    """One form, and the world in which it is carried out."""

    world: World
    conversations: Conversations
    form: Form

    @property
    def at(self) -> ConversationKey:
        """The conversation that the form stands in."""
        key = ConversationKey.parsed(self.form.get("at"))
        if key is None:
            raise ValueError("the form names no conversation")
        return key


# -- what people do ----------------------------------------------------------------------------------------------------


def _card(act: PageAct) -> ToDo:
    names = ("person", "msgid", "key")
    return ToDo("press", {name: act.form.get(name) for name in names} | {"selected": act.form.choices()})


def _click(act: PageAct) -> ToDo:
    about = {name: act.form.get(name) for name in ("key", "chat", "person")}
    return ToDo("webhook", {"act": "click", "name": act.form.get("click"), **about})


def _campaign(act: PageAct) -> ToDo:
    about = {name: act.form.get(name) for name in ("msgid", "member")}
    return ToDo("groupmsg_ignore" if act.form.get("ignore") else "groupmsg_confirm", about)


def _write(act: PageAct) -> ToDo:
    text = act.form.get("text").strip()
    if not text:
        raise ValueError("text: there is nothing to send")
    return _said(act, "message", text=text)


def _open(act: PageAct) -> ToDo:
    return _said(act, {"app": "enter_agent", "webhook": "enter_chat"}.get(act.at.kind, "open"))


def _join(act: PageAct) -> ToDo:
    return _said(act, "add")


def _leave(act: PageAct) -> ToDo:
    return _said(act, "delete")


def _said(act: PageAct, what: str, **more: str) -> ToDo:
    """What a member does in an app, a chat or a Youdu app."""
    at, person = act.at, act.form.get("person")
    match at.kind:
        case "app":
            corpid, agentid = _app(at)
            return ToDo("app", {"act": what, "corpid": corpid, "agentid": agentid, "person": at.who, **more})
        case "webhook":
            return ToDo("webhook", {"act": what, "key": act.form.get("key"), "chat": at.who, "person": person, **more})
        case "youdu":
            return ToDo("youdu_app", {"act": what, "appid": at.place, "person": at.who, **more})
    raise ValueError("a conversation of this kind has no callbacks")


def _app(at: ConversationKey) -> tuple[str, int]:
    corpid, _, agentid = at.place.rpartition("/")
    if not agentid.isdecimal():
        raise ValueError("the app has no agentid: name it in the settings, with a callback_url")
    return corpid, int(agentid)


# -- the vendor --------------------------------------------------------------------------------------------------------

PRESETS: Mapping[str, Json] = {
    "busy": {"answer": {"errcode": -1}},
    "freq": {"answer": {"errcode": 45009}},
    "token": {"answer": {"errcode": 42001}},
    "502": {"status": 502},
    "hang": {"hang": 30},
    "delay": {"delay": 5},
    "cut": {"cut_response_after": 10},
    "reset": {"reset_request_after": 100},
    "drip": {"drip": {"bytes": 1, "every_s": 0.5}},
}
"""Faults by the name that the form has for them."""


def _faults(act: PageAct) -> ToDo:
    own = act.form.get("rule").strip()
    if own:
        return ToDo("faults", _parsed(own, "rule"))
    action = PRESETS.get(act.form.get("preset"))
    if action is None:
        raise ValueError(f"preset: one of {', '.join(PRESETS)}")
    path, nth, times = act.form.get("path"), act.form.get("nth"), act.form.get("times")
    match = ({"path": path} if path else {}) | ({"nth": _whole(nth, "nth")} if nth else {})
    return ToDo("faults", {"match": match, "action": action, **({"times": _whole(times, "times")} if times else {})})


def _clear_faults(act: PageAct) -> ToDo:
    return ToDo("faults", method="DELETE")


def _tokens(act: PageAct) -> ToDo:
    return ToDo("tokens", {"revoke" if act.form.get("end") == "revoke" else "expire": "all"})


def _clock(act: PageAct) -> ToDo:
    match act.form.get("do"):
        case "freeze":
            return ToDo("clock", {"frozen": True})
        case "run":
            return ToDo("clock", {"frozen": False})
        case _:
            return ToDo("clock", {"advance_s": _number(act.form.get("advance_s"), "advance_s")})


def _limits(act: PageAct) -> ToDo:
    """The amounts that differ from those of now."""
    now = act.world.settings.limits.model_dump()
    given = {name: act.form.get(name) for name in now if any(name == key for key, _ in act.form.pairs)}
    return ToDo("settings", {"limits": {name: value for name, value in given.items() if str(now[name]) != value}})


def _settings(act: PageAct) -> ToDo:
    return ToDo("settings", _parsed(act.form.get("settings"), "settings"))


def _clear(act: PageAct) -> ToDo:
    return ToDo("inbox", method="DELETE")


def _parsed(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{name}: not JSON") from None


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise ValueError(f"{name}: a whole number from 1 on")
    return int(text)


def _number(text: str, name: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name}: a number of seconds") from None


# -- where callbacks go ------------------------------------------------------------------------------------------------


def _verify(act: PageAct) -> ToDo:
    if act.at.kind == "webhook":
        return ToDo("webhook", {"act": "verify", "key": act.form.get("key")})
    corpid, agentid = _app(act.at)
    return ToDo("verify", {"corpid": corpid, "agentid": agentid})


def _callback(act: PageAct) -> ToDo:
    """The settings with the address of the conversation's app."""
    names = ("callback_url", "callback_token", "callback_aes_key")
    given: Json = {name: act.form.get(name).strip() for name in names}
    given["callback_url"] = given["callback_url"] or None
    match act.at.kind:
        case "app":
            return ToDo("settings", {"apps": _with(act.world.settings.apps, _known_app(act), given)})
        case "webhook":
            return ToDo("settings", {"webhook": {"keys": _with(act.world.settings.webhook.keys, _key(act), given)}})
        case "youdu":
            del given["callback_aes_key"]
            apps = [app.model_dump() for app in act.world.settings.youdu.apps]
            return ToDo("settings", {"youdu": {"apps": [a | given if a["appid"] == act.at.place else a for a in apps]}})
    raise ValueError("a conversation of this kind has no callbacks")


def _with(known: Sequence[SettingsGroup], one: SettingsGroup, given: Json) -> list[Json]:
    """The list with one of its entries changed; one that is not there yet is added."""
    others = [each.model_dump() for each in known if each is not one]
    return [*others, one.model_dump() | given]


def _known_app(act: PageAct) -> AppSettings:
    """The app of the settings, or the unknown one that sent to this conversation."""
    corpid, agentid = _app(act.at)
    app = act.world.apps.named(corpid, agentid)
    if app is not None:
        return app
    conversation = act.conversations.find(act.at)
    for entry in reversed(conversation.entries if conversation else ()):
        if isinstance(entry.what, InboxMessage) and place_of(entry.what) == act.at.place:
            return AppSettings(corpid=corpid, agentid=agentid, secret=entry.what.app.settings.secret)
    raise ValueError(f"app {agentid} of {corpid} has sent nothing yet")


def _key(act: PageAct) -> WebhookKey:
    key = act.form.get("key")
    found = next((one for one in act.world.settings.webhook.keys if one.key == key), None)
    return found or WebhookKey(key=key, profile=act.world.settings.webhook.profile)


ACTS: Mapping[str, Callable[[PageAct], ToDo]] = {
    "card": _card,
    "click": _click,
    "campaign": _campaign,
    "write": _write,
    "open": _open,
    "join": _join,
    "leave": _leave,
    "faults": _faults,
    "clear_faults": _clear_faults,
    "tokens": _tokens,
    "clock": _clock,
    "limits": _limits,
    "settings": _settings,
    "clear": _clear,
    "verify": _verify,
    "callback": _callback,
}
"""By the last part of the form's address."""
