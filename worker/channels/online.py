"""Builds a harmless call for `worker doctor --online`, and reads what its answer shows. Pure.

It also builds the vendor's verification of a callback address, as it would arrive there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from worker.channels.base import CallbackVerifier
from worker.channels.errcodes import Class
from worker.channels.wecom.answer import ERRCODES, REMEDIES, integer, read, text_of
from worker.channels.wecom.callback import WecomVerifier
from worker.channels.wecom.redact import UNTRUSTED, remedy
from worker.domain.account import Account
from worker.domain.call import Access, Reply, Request

AGENT_PATH = "/cgi-bin/agent/get"
TASKS_PATH = "/cgi-bin/externalcontact/get_groupmsg_list_v2"
DAY_S = 86_400
_CONSOLE = "the console (企业可信IP) takes an address only for an app with a trusted domain or a callback address"


@dataclass(frozen=True, slots=True)
class OnlineAnswer:
    """What the answer to such a call shows."""

    is_ok: bool
    text: str
    """What is right, or what is wrong and the remedy."""
    is_about_address: bool = False
    """True if the vendor refuses calls from this machine's address, and has checked nothing else."""
    is_stale_token: bool = False
    """True if another token should be tried."""


@dataclass(frozen=True, slots=True)
class OnlineCall:
    """A harmless call of a channel."""

    request: Callable[[Account, Access, int], Request]
    """Builds the call from the account, its token and the time in Unix seconds."""
    good: Callable[[Account, Mapping[str, object]], str]
    """Returns what an accepted answer shows, in a few words."""


def online_call(channel: str) -> OnlineCall | None:
    """Returns the channel's harmless call, or None if its vendor has none and only the token is checked."""
    return _CALLS.get(channel)


def read_answer(call: OnlineCall, account: Account, reply: Reply) -> OnlineAnswer:
    """Returns what the answer shows. Of its texts, only the app's name and our address are reported."""
    answer = read(reply)
    if answer is None and reply.status in REMEDIES:
        return OnlineAnswer(False, f"http_{reply.status}: {REMEDIES[reply.status]}")
    if answer is None:
        return OnlineAnswer(False, f"http_{reply.status}: the answer is not the vendor's; check base_url")
    if answer.errcode == 0:
        closed = integer(answer.data, "close") == 1
        text = call.good(account, answer.data)
        return OnlineAnswer(
            not closed, f"{text}, but it is disabled; enable it in the admin console" if closed else text
        )
    row = ERRCODES.find(answer.errcode)
    if row is None:
        return OnlineAnswer(
            False, f"errcode {answer.errcode}, which is not in the catalogue; see the vendor's page 90313"
        )
    text = f"{row.reason}; {remedy(row.remedy, answer.errcode, answer.errmsg)}"
    if is_about_address := answer.errcode in UNTRUSTED:
        text += "; " + _CONSOLE
    return OnlineAnswer(False, text, is_about_address, row.kind is Class.TOKEN)


def verification(
    verifier: CallbackVerifier, number: str, now: int, nonce: str, random: bytes
) -> Mapping[str, str] | None:
    """Returns the query with which the vendor verifies an address, to be answered with `number`, or None."""
    if not isinstance(verifier, WecomVerifier):
        return None
    encrypted, signature = verifier.envelope.seal(number.encode(), str(now), nonce, random)
    return {"msg_signature": signature, "timestamp": str(now), "nonce": nonce, "echostr": encrypted}


# -- the calls ---------------------------------------------------------------------------------------------------------


def _agent(account: Account, access: Access, now: int) -> Request:
    """Page 90227 获取应用."""
    query = {"access_token": access.token or "", "agentid": str(account.settings["agentid"])}
    return Request("GET", account.base_url, AGENT_PATH, query)


def _agent_told(account: Account, data: Mapping[str, object]) -> str:
    name = text_of(data.get("name"))
    told = f"{account.settings['agentid']} ({name})" if name else str(account.settings["agentid"])
    members = _size(data.get("allow_userinfos"), "user")
    parties, tags = _size(data.get("allow_partys"), "partyid"), _size(data.get("allow_tags"), "tagid")
    return f"agent {told} can be read; its visible range has members: {members}, departments: {parties}, tags: {tags}"


def _size(holder: object, key: str) -> int:
    found = holder.get(key) if isinstance(holder, Mapping) else None
    return len(found) if isinstance(found, list) else 0


def _tasks(account: Account, access: Access, now: int) -> Request:
    """Page 93338 获取群发记录列表, of one day and one entry."""
    body = {"chat_type": "single", "start_time": now - DAY_S, "end_time": now, "limit": 1}
    return Request(
        "POST", account.base_url, TASKS_PATH, {"access_token": access.token or ""}, json.dumps(body).encode()
    )


def _tasks_told(account: Account, data: Mapping[str, object]) -> str:
    return "customer contact can be called by this app"


_CALLS: Mapping[str, OnlineCall] = {
    "wecom_app": OnlineCall(_agent, _agent_told),
    "wecom_external": OnlineCall(_tasks, _tasks_told),
}
