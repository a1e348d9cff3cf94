"""The demo's rows of Youdu: nine message types through four apps, windows, badges, uploads, and refusals."""

from __future__ import annotations

from typing import Any

from worker.channels import youdu
from worker.channels.wecom_app import CardUpdate
from worker.domain.content.message import Message
from worker.domain.content.recipient import Emails, Everyone, Recipients, To
from worker.producer.follow_ups import recall, update_card
from worker_simulator.demo.channels.row import Row, follows, sends, uploads
from worker_simulator.demo.files import picture, report, video, voice

CHANNEL = "youdu"
APPS = {"youdu": "yd00112233445566778899AABBCCDDEEFF"} | {
    f"youdu-{role}": appid
    for role, appid in (("sysmsg", "sysMsgAssistant"), ("sms", "sysSmsAssistant"), ("mail", "sysExmailAssistant"))
}
"""Account -> appId of the enterprise's app."""
ROLES = {"sysMsgAssistant": "sysmsg", "sysSmsAssistant": "sms", "sysExmailAssistant": "mail"}
ACCOUNTS = "".join(
    f"""
[accounts.{account}]
channel = "youdu"
buin = 12345678
appid = "{appid}"
allow_everyone = true
invalid_users = "partial"
secret = {{{{ file = "{{folder}}/youdu_key" }}}}
base_url = "{{vendor}}"
"""
    for account, appid in APPS.items()
)
PEOPLE = To(users=["alice", "bob"])
LINK = "https://example.com/o/17"
TEXT = f"{CHANNEL} text"

MESSAGES: dict[str, tuple[str, Message, Recipients]] = {
    "text": ("youdu", youdu.Text(content="The canteen closes at 14:00."), PEOPLE),
    "image": ("youdu", youdu.Image(file=picture()), PEOPLE),
    "file": ("youdu", youdu.FileMessage(file=report()), PEOPLE),
    "mpnews": (
        "youdu",
        youdu.MpNews(items=[youdu.MpNewsItem(title="Outage over", content="It works.", file=picture("cover.png", 12))]),
        To(parties=["7"]),
    ),
    "link": ("youdu", youdu.Link(title="Approve order 17", url=LINK), PEOPLE),
    "exlink": (
        "youdu",
        youdu.ExLink(items=[youdu.ExLinkItem(title="Weekly report", url=LINK, file=picture("chart.png", 20))]),
        PEOPLE,
    ),
    "sysMsg": (
        "youdu-sysmsg",
        youdu.SysMsg(
            title="Maintenance",
            popDuration=6,
            msg=[
                youdu.SysItem(text=youdu.SysText(content="Tonight 22:00. ")),
                youdu.SysItem(link=youdu.SysLink(title="Details", url=LINK)),
            ],
        ),
        PEOPLE,
    ),
    "sysMsg to all": (
        "youdu-sysmsg",
        youdu.SysMsg(title="Fire drill", only_online=True, msg=[youdu.SysItem(text=youdu.SysText(content="Now."))]),
        Everyone(),
    ),
    "sms": ("youdu-sms", youdu.Sms(sender="13800000000", content="received, thanks"), PEOPLE),
    "mail": ("youdu-mail", youdu.Mail(action="new", subject="Invoice", fromEmail="billing@example.com"), PEOPLE),
    "mail to addresses": ("youdu-mail", youdu.Mail(action="unread", unreadCount=5), Emails(["alice@example.com"])),
    "pop-up window": ("youdu", youdu.PopWindow(url=LINK, title="News", duration=10), PEOPLE),
    "badge": ("youdu", youdu.Badge(count=3, tip="3 to do"), PEOPLE),
}
UPLOADS = {"image": picture("logo.png", 8), "file": report(), "voice": voice(), "video": video()}


def prepare(control: Any, key: str) -> None:
    """Creates the apps at the fake vendor, as an administrator would, all with the key of this run."""
    apps = [{"appid": appid, "aes_key": key, "role": ROLES.get(appid, "message")} for appid in APPS.values()]
    control("settings", {"youdu": {"apps": apps}})


def rows() -> list[Row]:
    """Returns all rows, in the order of the table."""
    updated = follows(update_card, TEXT, CardUpdate(replace_name="Done"))
    return [
        *(Row(CHANNEL, what, sends(*arguments)) for what, arguments in MESSAGES.items()),
        *(Row(CHANNEL, f"upload {kind}", uploads("youdu", file, kind)) for kind, file in UPLOADS.items()),
        Row(
            CHANNEL,
            "one of two unknown",
            sends("youdu", youdu.Text(content="Hello."), To(users=["alice", "ghost-anna"])),
            ends="partial",
        ),
        Row(
            CHANNEL,
            "sysMsg through the wrong app",
            sends("youdu", youdu.SysMsg(title="x", msg=[youdu.SysItem(text=youdu.SysText(content="y"))]), PEOPLE),
            ends="parked",
            names="100005",
        ),
        Row(CHANNEL, "recall", follows(recall, TEXT), ends="refused", names="job_id", after=[TEXT]),
        Row(CHANNEL, "update_card", updated, ends="refused", names="job_id", after=[TEXT]),
    ]
