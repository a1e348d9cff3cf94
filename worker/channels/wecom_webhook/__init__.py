"""WeCom webhooks (群机器人, 消息推送): the channel and its typed messages."""

from worker.channels.wecom_webhook.channel import WecomWebhook
from worker.channels.wecom_webhook.messages.basic import (
    Action,
    Article,
    Attachment,
    FileMessage,
    Image,
    Markdown,
    MarkdownV2,
    MiniProgram,
    News,
    Text,
    Voice,
)
from worker.channels.wecom_webhook.messages.card import (
    Card,
    CardAction,
    CardImage,
    EmphasisContent,
    HorizontalContent,
    ImageTextArea,
    Jump,
    MainTitle,
    NewsNoticeCard,
    QuoteArea,
    Source,
    TextNoticeCard,
    VerticalContent,
)
from worker.channels.wecom_webhook.messages.message import Raw, Upload
from worker.channels.wecom_webhook.messages.reading import message_from_json, message_to_json, recipients_from_json
from worker.channels.wecom_webhook.messages.schema import message_schema

__all__ = [
    "Action",
    "Article",
    "Attachment",
    "Card",
    "CardAction",
    "CardImage",
    "EmphasisContent",
    "FileMessage",
    "HorizontalContent",
    "Image",
    "ImageTextArea",
    "Jump",
    "MainTitle",
    "Markdown",
    "MarkdownV2",
    "MiniProgram",
    "News",
    "NewsNoticeCard",
    "QuoteArea",
    "Raw",
    "Source",
    "Text",
    "TextNoticeCard",
    "Upload",
    "VerticalContent",
    "Voice",
    "WecomWebhook",
    "message_from_json",
    "message_schema",
    "message_to_json",
    "recipients_from_json",
]
