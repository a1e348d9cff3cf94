"""WeCom application messages: the channel and its typed messages."""

from worker.channels.wecom.message import Upload
from worker.channels.wecom_app.articles import MpNews, MpNewsArticle, News, NewsArticle
from worker.channels.wecom_app.card import ButtonCard, Card, MultipleCard, NewsNoticeCard, TextNoticeCard, VoteCard
from worker.channels.wecom_app.card_parts import (
    ActionItem,
    ActionMenu,
    Button,
    ButtonSelection,
    CardAction,
    CardImage,
    Checkbox,
    CheckOption,
    EmphasisContent,
    HorizontalContent,
    ImageTextArea,
    Jump,
    MainTitle,
    Option,
    PlainSource,
    QuoteArea,
    SelectItem,
    Source,
    SubmitButton,
    VerticalContent,
)
from worker.channels.wecom_app.channel import WecomApp
from worker.channels.wecom_app.chat import ChangeChat, CreateChat
from worker.channels.wecom_app.message import Raw
from worker.channels.wecom_app.reading import message_from_json, message_to_json, recipients_from_json
from worker.channels.wecom_app.schema import message_schema
from worker.channels.wecom_app.simple import (
    FileMessage,
    Image,
    Markdown,
    MiniProgramNotice,
    NoticeItem,
    Text,
    TextCard,
    Video,
    Voice,
)
from worker.channels.wecom_app.translate import escape_ids
from worker.channels.wecom_app.update import CardUpdate

__all__ = [
    "ActionItem",
    "ActionMenu",
    "Button",
    "ButtonCard",
    "ButtonSelection",
    "Card",
    "CardAction",
    "CardImage",
    "CardUpdate",
    "ChangeChat",
    "CheckOption",
    "Checkbox",
    "CreateChat",
    "EmphasisContent",
    "FileMessage",
    "HorizontalContent",
    "Image",
    "ImageTextArea",
    "Jump",
    "MainTitle",
    "Markdown",
    "MiniProgramNotice",
    "MpNews",
    "MpNewsArticle",
    "MultipleCard",
    "News",
    "NewsArticle",
    "NewsNoticeCard",
    "NoticeItem",
    "Option",
    "PlainSource",
    "QuoteArea",
    "Raw",
    "SelectItem",
    "Source",
    "SubmitButton",
    "Text",
    "TextCard",
    "TextNoticeCard",
    "Upload",
    "VerticalContent",
    "Video",
    "Voice",
    "VoteCard",
    "WecomApp",
    "escape_ids",
    "message_from_json",
    "message_schema",
    "message_to_json",
    "recipients_from_json",
]
