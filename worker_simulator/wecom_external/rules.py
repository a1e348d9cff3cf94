"""What a campaign's text and attachments must hold (page 92135), by the rules of the app room.

Does not know recipients and tasks.
"""

import re
from dataclasses import dataclass

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.settings import ExternalSettings
from worker_simulator.wecom_app.rules.findings import Findings, typed
from worker_simulator.wecom_app.rules.nested import Table
from worker_simulator.wecom_app.rules.texts import TextRule
from worker_simulator.wecom_app.rules.values import Appid, MediaRule

MOST = 9
TEXT_BYTES = 4000
PICTURES = re.compile(r"https?://([0-9a-z-]+\.)*qpic\.cn/.+")
"""The URLs that uploadimg gives."""


@dataclass(frozen=True, slots=True)
class PictureReference:
    """An image by media_id or by pic_url; media_id goes before."""

    rules: ExternalSettings
    names: tuple[str, ...] = ("media_id", "pic_url")

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check that one of the two is there, and that it is good."""
        url = typed(body, "pic_url", str, found, path)
        if typed(body, "media_id", str, found, path):
            MediaRule("media_id", "image").check(body, path, found)
            body.pop("pic_url", None)
        elif not url:
            found.refuse(self.rules.empty_image_code, f"invalid param '{path}'")
        elif not PICTURES.fullmatch(url):
            found.refuse(self.rules.picture_code, f"invalid param '{path}.pic_url'")


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


def check(body: Json, rules: ExternalSettings, found: Findings) -> Json:
    """Text and attachments as they will be shown; both empty is refused."""
    text = typed(body, "text", dict, found) or {}
    TextRule("content", limit=TEXT_BYTES, over=40058).check(text, "text", found)
    attachments = typed(body, "attachments", list, found) or []
    if not text.get("content") and not attachments:
        raise Refused(40058, "invalid param 'text'")
    if len(attachments) > MOST:
        raise Refused(41064)
    tables = {
        "image": Table(PictureReference(rules)),
        "link": LINK,
        "miniprogram": MINIPROGRAM,
        "video": VIDEO,
        "file": FILE,
    }
    shown = [_attachment(entry, f"attachments[{n}]", tables, found) for n, entry in enumerate(attachments)]
    return {**({"text": {"content": text["content"]}} if text.get("content") else {}), "attachments": shown}


def _attachment(entry: object, place: str, tables: dict[str, Table], found: Findings) -> Json:
    """Check an attachment, which has to have an object named like its type."""
    if not isinstance(entry, dict):
        raise Refused(40058, f"invalid param '{place}'")
    msgtype = entry.get("msgtype")
    if not isinstance(msgtype, str) or msgtype not in tables:
        raise Refused(41065)
    own = typed(entry, msgtype, dict, found, place)
    if own is None:
        raise Refused(40058, f"invalid param '{place}.{msgtype}'")
    tables[msgtype].check(own, f"{place}.{msgtype}", found)
    return {"msgtype": msgtype, msgtype: own}
