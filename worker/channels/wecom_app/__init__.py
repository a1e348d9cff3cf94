"""WeCom application messages: the channel and its typed messages."""

from worker.channels.wecom_app.card import (
    ActionItem,
    ActionMenu,
    Button,
    ButtonCard,
    ButtonSelection,
    CardAction,
    HorizontalContent,
    MainTitle,
    Option,
    QuoteArea,
    Source,
)
from worker.channels.wecom_app.channel import WecomApp
from worker.channels.wecom_app.message import CardUpdate, Image, Raw, Text, Upload

__all__ = [
    "ActionItem",
    "ActionMenu",
    "Button",
    "ButtonCard",
    "ButtonSelection",
    "CardAction",
    "CardUpdate",
    "HorizontalContent",
    "Image",
    "MainTitle",
    "Option",
    "QuoteArea",
    "Raw",
    "Source",
    "Text",
    "Upload",
    "WecomApp",
]
