"""The rules for the text and the attachments of a group send (92135)."""

import re
from dataclasses import dataclass

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.settings import ExternalSettings
from worker_simulator.wecom_app.rules.findings import Findings, typed
from worker_simulator.wecom_app.rules.nested import Table
from worker_simulator.wecom_app.rules.texts import TextRule
from worker_simulator.wecom_app.rules.values import Appid, MediaRule

MAX_ATTACHMENTS = 9
TEXT_BYTES = 4000
PICTURES = re.compile(r"https?://([0-9a-z-]+\.)*qpic\.cn/.+")
"""The URLs that uploadimg returns."""


@dataclass(frozen=True, slots=True)
class PictureReference:
    """An image by media_id or by pic_url. If both are given, media_id is used."""

    rules: ExternalSettings
    names: tuple[str, ...] = ("media_id", "pic_url")

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Checks that one of the two is given and valid."""
        url = typed(body, "pic_url", str, findings, path)
        if typed(body, "media_id", str, findings, path):
            MediaRule("media_id", "image").check(body, path, findings)
            body.pop("pic_url", None)
        elif not url:
            findings.refuse(self.rules.empty_image_code, f"invalid param '{path}'")
        elif not PICTURES.fullmatch(url):
            findings.refuse(self.rules.picture_code, f"invalid param '{path}.pic_url'")


LINK = Table(
    TextRule("title", missing=40058, limit=128, over=40058),
    TextRule("picurl", limit=2048, over=40058),
    TextRule("desc", limit=512, over=40058),
    TextRule("url", missing=40058, limit=2048, over=40058, scheme=True),
)
MINIPROGRAM = Table(
    TextRule("title", missing=40058, limit=64, over=40058),
    MediaRule("pic_media_id", "image"),
    Appid(missing=40058),
    TextRule("page", missing=40058),
)
VIDEO = Table(MediaRule("media_id", "video"))
FILE = Table(MediaRule("media_id", "file"))


def check(body: Json, rules: ExternalSettings, findings: Findings) -> Json:
    """Returns text and attachments as they will be displayed. Refuses a message without either."""
    text = typed(body, "text", dict, findings) or {}
    TextRule("content", limit=TEXT_BYTES, over=40058).check(text, "text", findings)
    attachments = typed(body, "attachments", list, findings) or []
    if not text.get("content") and not attachments:
        raise Refused(40058, "invalid param 'text'")
    if len(attachments) > MAX_ATTACHMENTS:
        raise Refused(41064)
    tables = {
        "image": Table(PictureReference(rules)),
        "link": LINK,
        "miniprogram": MINIPROGRAM,
        "video": VIDEO,
        "file": FILE,
    }
    checked_attachments = [
        _attachment(entry, f"attachments[{n}]", tables, findings) for n, entry in enumerate(attachments)
    ]
    return {
        **({"text": {"content": text["content"]}} if text.get("content") else {}),
        "attachments": checked_attachments,
    }


def _attachment(entry: object, place: str, tables: dict[str, Table], findings: Findings) -> Json:
    """Checks an attachment. It needs an object with the name of its msgtype."""
    if not isinstance(entry, dict):
        raise Refused(40058, f"invalid param '{place}'")
    msgtype = entry.get("msgtype")
    if not isinstance(msgtype, str) or msgtype not in tables:
        raise Refused(41065)
    content = typed(entry, msgtype, dict, findings, place)
    if content is None:
        raise Refused(40058, f"invalid param '{place}.{msgtype}'")
    tables[msgtype].check(content, f"{place}.{msgtype}", findings)
    return {"msgtype": msgtype, msgtype: content}
