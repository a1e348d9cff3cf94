"""The demo's rows of WeCom webhooks: every message of both editions, uploads, a broadcast, and refusals."""

from __future__ import annotations

from worker.channels import wecom_webhook as webhook
from worker.channels.wecom_app import CardUpdate
from worker.domain.content.message import Message
from worker.domain.content.recipient import Chats, Everyone
from worker.producer.follow_ups import recall, update_card
from worker_simulator.demo.channels.row import Row, follows, sends, uploads
from worker_simulator.demo.files import picture, report, voice

CHANNEL, PUSH, ROBOT = "wecom_webhook", "push", "robot"
ACCOUNTS = """
[accounts.push]
channel = "wecom_webhook"
edition = "push"
chatid_for = ["miniprogram", "file", "voice", "template_card"]
allow_everyone = true
secret = {{ file = "{folder}/secret" }}
base_url = "{vendor}"

[accounts.robot]
channel = "wecom_webhook"
edition = "robot"
secret = {{ file = "{folder}/token" }}
base_url = "{vendor}"
"""
GROUP = Chats("wr1", "wr2")
LINK = "https://example.com/incidents/17"
PICK = webhook.Action(name="ack", text="On it", value="17", replace_text="Somebody is on it")
ACTION = webhook.CardAction(type=1, url=LINK)
TITLE = webhook.MainTitle(title="Incident 17")
TEXT = f"{CHANNEL} text"

MESSAGES: dict[str, Message] = {
    "text": webhook.Text(content="The night build failed.", mentioned_list=["@all"]),
    "markdown": webhook.Markdown(content="**Build** failed", attachments=[webhook.Attachment(actions=[PICK])]),
    "markdown_v2": webhook.MarkdownV2(content="| step | state |\n|---|---|\n| build | failed |"),
    "image": webhook.Image(file=picture("chart.png", 24)),
    "news": webhook.News(articles=[webhook.Article(title="Incident 17", url=LINK)]),
    "miniprogram": webhook.MiniProgram(
        title="Incident 17", appid="wx0123456789abcdef", page="pages/index", file=picture("cover.png", 20)
    ),
    "file": webhook.FileMessage(file=report()),
    "voice": webhook.Voice(file=voice()),
    "card text_notice": webhook.TextNoticeCard(main_title=TITLE, card_action=ACTION),
    "card news_notice": webhook.NewsNoticeCard(
        main_title=TITLE, card_action=ACTION, card_image=webhook.CardImage(url="https://example.com/a.png")
    ),
}


def rows() -> list[Row]:
    """Returns all rows, in the order of the table."""
    updated = follows(update_card, TEXT, CardUpdate(replace_name="Done"))
    return [
        *(Row(CHANNEL, what, sends(PUSH, message, GROUP)) for what, message in MESSAGES.items()),
        Row(CHANNEL, "text to all groups", sends(PUSH, webhook.Text(content="To all."), Everyone("groups"))),
        Row(CHANNEL, "robot text", sends(ROBOT, webhook.Text(content="To the robot's own chat."))),
        Row(CHANNEL, "upload file", uploads(PUSH, report(), "file")),
        Row(CHANNEL, "upload voice", uploads(PUSH, voice(), "voice")),
        Row(
            CHANNEL,
            "chat that does not exist",
            sends(PUSH, webhook.Text(content="Hello?"), Chats("wrghost")),
            ends="rejected",
            names="93006",
        ),
        Row(CHANNEL, "recall", follows(recall, TEXT), ends="refused", names="job_id", after=[TEXT]),
        Row(CHANNEL, "update_card", updated, ends="refused", names="job_id", after=[TEXT]),
    ]
