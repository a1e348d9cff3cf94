"""The demo's rows of WeCom group sends: every attachment, groups, uploads, a reminder, tracking, and a cancel."""

from __future__ import annotations

from typing import Any

from worker.channels import wecom_external as external
from worker.channels.wecom_app import CardUpdate
from worker.domain.content.message import File, Message
from worker.domain.content.recipient import CustomerGroups, Customers, Everyone, Recipients
from worker.producer.follow_ups import recall, remind, track, update_card
from worker_simulator.demo.channels.row import Producer, Row, follows, sends, uploads
from worker_simulator.demo.files import picture, report, video

CHANNEL = "wecom_external"
ACCOUNT = "sales"
ACCOUNTS = """
[accounts.sales]
channel = "wecom_external"
corpid = "ww-demo"
allow_everyone = true
secret = {{ file = "{folder}/secret" }}
base_url = "{vendor}"
"""
CUSTOMERS = Customers({"zhangsan": ["wmDemo1", "wmDemo2"], "lisi": ["wmDemo3"]})
GROUPS = CustomerGroups({"zhangsan": ["wrDemo1"]})
LINK = external.Link(title="Open day", url="https://example.com/day", desc="Saturday")
TAGS = external.TagFilter(group_list=[external.TagGroup(tag_list=["etDemo"])])

PICTURE = picture()
ATTACHMENTS: dict[str, Any] = {
    "image": external.Image(file=PICTURE),
    "link": LINK,
    "miniprogram": external.MiniProgram(title="Book", appid="wx0123456789abcdef", page="/book", file=PICTURE),
    "video": external.Video(file=video()),
    "file": external.File(file=report()),
}
MESSAGES: dict[str, tuple[Message, Recipients]] = {
    "text": (external.Campaign(text="We open on Saturday."), CUSTOMERS),
    **{name: (external.Campaign(attachments=[attachment]), CUSTOMERS) for name, attachment in ATTACHMENTS.items()},
    "text to groups": (external.Campaign(text="In your group"), GROUPS),
    **{
        f"{name} to groups": (external.Campaign(attachments=[attachment]), GROUPS)
        for name, attachment in ATTACHMENTS.items()
    },
    "image by url": (external.Campaign(attachments=[external.Image(file=PICTURE, as_url=True)]), CUSTOMERS),
    "nine attachments": (external.Campaign(text="All of it", attachments=[LINK] * 9), CUSTOMERS),
    "all of a member": (external.Campaign(text="To all of mine"), Customers({"lisi": Everyone()})),
    "by tags": (external.Campaign(text="Members only", tag_filter=TAGS), Customers({"zhangsan": Everyone()})),
}
UPLOADS: dict[str, File] = {"image": picture("cover.png", 9), "video": video(), "file": report()}
TEXT = f"{CHANNEL} text"


def rows() -> list[Row]:
    """Returns all rows, in the order of the table."""
    updated = follows(update_card, TEXT, CardUpdate(replace_name="Done"))
    return [
        *(
            Row(CHANNEL, what, sends(ACCOUNT, message, to), before=_prepare if what == "text" else None)
            for what, (message, to) in MESSAGES.items()
        ),
        Row(
            CHANNEL,
            "one of two refused",
            sends(ACCOUNT, external.Campaign(text="Hello"), Customers({"lisi": ["ghostDemo", "wmDemo4"]})),
            ends="partial",
        ),
        *(Row(CHANNEL, f"upload {kind}", uploads(ACCOUNT, file, kind)) for kind, file in UPLOADS.items()),
        Row(CHANNEL, "remind", follows(remind, TEXT), after=[TEXT]),
        Row(CHANNEL, "cancel", follows(recall, f"{CHANNEL} link"), after=[f"{CHANNEL} link"]),
        # After the cancel: else a member might confirm a task that is being cancelled.
        Row(
            CHANNEL,
            "track",
            follows(track, TEXT, pace=1.0),
            after=[f"{CHANNEL} remind", f"{CHANNEL} cancel"],
            before=_confirm,
        ),
        Row(CHANNEL, "update_card", updated, ends="refused", names="update_card", after=[TEXT]),
    ]


def _prepare(producer: Producer) -> None:
    """Gives a customer the tag, and lets the fake vendor answer questions about new tasks at once."""
    producer.control("settings", {"external": {"tags": {"wm-zhangsan-1": ["etDemo"]}, "dispatch_s": 0}})


def _confirm(producer: Producer) -> None:
    """Lets every member confirm the tasks that wait for them."""
    for task in producer.control("groupmsg_tasks", None)["tasks"]:
        for member in () if task["cancelled"] else task["members"]:
            producer.control("groupmsg_confirm", {"msgid": task["msgid"], "member": member})
