"""The answer to a Youdu call, and the errcodes with which it is refused."""

import json

from worker_simulator.answers import HttpAnswer

REASONS = {
    -1: "undefined error",
    3: "no right to the interface",
    100000: "access token empty",
    100001: "access token not exist",
    100002: "access token expired",
    100003: "bad request",
    100004: "bad message format",
    100005: "invalid appId",
    100006: "decrypt failed",
    100008: "buin missing",
    100009: "invalid buin",
    100010: "appId missing",
    100011: "encrypt missing",
    100012: "buin must be int",
    100013: "appId must be string",
    100014: "encrypt must be string",
    200001: "toUser too long",
    200007: "invalid toUser",
    200008: "bad upload form",
    200009: "invalid file type",
    200010: "resource file not exist",
}
"""errcode -> text. `invalid buin` and `invalid appId` are in the documentation; the others are our own."""


class YouduRefused(Exception):
    """The server refuses a call."""

    def __init__(self, code: int, errmsg: str = "") -> None:
        super().__init__(code, errmsg)
        self.code = code
        self.errmsg = errmsg or REASONS.get(code, "error")


def reply(code: int, errmsg: str = "ok", encrypt: str | None = None) -> HttpAnswer:
    """Returns an answer, with the encrypted data if there is any."""
    body = {"errcode": code, "errmsg": errmsg} | ({} if encrypt is None else {"encrypt": encrypt})
    return HttpAnswer(json.dumps(body, ensure_ascii=False).encode(), errcode=code)


def reason(code: int) -> str:
    """Returns the text of an errcode."""
    return "ok" if code == 0 else REASONS.get(code, "error")
