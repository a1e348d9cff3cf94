"""The page of errcodes: what each means, what the worker does, and what a person does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tools.reference.text import Voice, told
from worker.channels.errcodes import Class, Errcode
from worker.channels.wecom.answer import ERRCODES as WECOM
from worker.channels.wecom_webhook.channel import ERRCODES as WEBHOOK
from worker.channels.youdu.envelope import ERRCODES as YOUDU

CATALOGUES: Mapping[str, tuple[Errcode, ...]] = {
    "WeCom": WECOM.rows,
    "Only of webhooks": WEBHOOK.rows,
    "Youdu": YOUDU.rows,
}
CLASSES: Mapping[Class, str] = {
    Class.RETRY: "It is transient: the call is made again, and counts as an attempt.",
    Class.TOKEN: "The token is bad: another one is fetched.",
    Class.DEFER: "It is too early: the part waits, and no attempt is counted.",
    Class.PERMANENT: "The request can never pass as it is: the part is rejected.",
    Class.CONFIG: "A person has to act: the lane or the account is parked.",
}
"""What the worker does about each class."""


def page(say: Voice) -> str:
    """The whole page."""
    return "\n".join(_sections(say))


def _sections(say: Voice) -> Iterator[str]:
    yield say.title(1, "Errcodes")
    yield f"{say(INTRODUCTION)}\n"
    yield say.table(("class", "what the worker does"), ((f"`{name}`", say(text)) for name, text in CLASSES.items()))
    yield f"{say(UNSEEN)}\n"
    for heading, rows in CATALOGUES.items():
        yield say.title(2, heading)
        yield say.table(
            ("errcode, and its class", "meaning, and what to do"), (_row(say, one) for one in in_force(rows))
        )


INTRODUCTION = (
    "Every errcode of the catalogues, out of the program itself; `worker explain CODE` says the same with the scope"
    " that the code stops. What is done about others stands in [a runbook](../runbooks.md#unheard-of-code)."
)
UNSEEN = (
    "`unseen`: the vendor refuses so before it looks at the message. Such a call counts for none of its checks, so"
    " [a call in doubt](../design.md#doubts-that-end-with-a-person) may still be repeated after it."
)


def in_force(rows: Iterable[Errcode]) -> list[Errcode]:
    """The rows in order, each code once: a later row of the catalogue wins."""
    return [one for _, one in sorted({one.code: one for one in rows}.items())]


def _row(say: Voice, one: Errcode) -> list[str]:
    codes = f"`{one.code}`" if one.last is None else f"`{one.code}` - `{one.last}`"
    unseen = "<br>`unseen`" if one.unseen else ""
    return [f"{codes}<br>`{one.kind}`{unseen}", say.explained(told(say, one.meaning), told(say, one.remedy))]
