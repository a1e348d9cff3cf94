"""Small valid messages, to be made wrong in one place."""

from typing import Any

URL = "https://example.com/1"
ACTION = {"type": 1, "url": URL}
OPTIONS = [{"id": "a", "text": "A"}]
MPNEWS = {"title": "t", "thumb_media_id": "x", "content": "c"}
CHOICES = [{"id": "a", "text": "A", "is_checked": False}]


def message(msgtype: str, content: Any, **more: Any) -> dict[str, Any]:
    """A message to one person."""
    return {"touser": "chenmo", "msgtype": msgtype, "agentid": 1, msgtype: content, **more}


def notice(**more: Any) -> dict[str, Any]:
    """A text_notice card."""
    content = {"card_type": "text_notice", "main_title": {"title": "t"}, "card_action": ACTION, **more}
    return message("template_card", content)


def image_notice(**more: Any) -> dict[str, Any]:
    """A news_notice card."""
    content = {"card_type": "news_notice", "main_title": {"title": "t"}, "card_action": ACTION}
    return message("template_card", {**content, "card_image": {"url": URL}, **more})


def buttons(**more: Any) -> dict[str, Any]:
    """A button card."""
    content = {"card_type": "button_interaction", "task_id": "b", "main_title": {"title": "t"}}
    return message("template_card", {**content, "button_list": [{"text": "y", "key": "k"}], **more})


def vote(**more: Any) -> dict[str, Any]:
    """A vote card."""
    content = {"card_type": "vote_interaction", "task_id": "v", "main_title": {"title": "t"}}
    box = {"question_key": "q", "option_list": CHOICES}
    return message("template_card", {**content, "checkbox": box, "submit_button": {"text": "s", "key": "k"}, **more})


def selects(**more: Any) -> dict[str, Any]:
    """A card with selections."""
    content = {"card_type": "multiple_interaction", "task_id": "m", "main_title": {"title": "t"}}
    one = [{"question_key": "q", "option_list": OPTIONS}]
    return message("template_card", {**content, "select_list": one, "submit_button": {"text": "s", "key": "k"}, **more})


def news(count: int = 1, **article: Any) -> dict[str, Any]:
    """A news message."""
    return message("news", {"articles": [{"title": "t", "url": URL, **article}] * count})


def mini(**more: Any) -> dict[str, Any]:
    """A mini-program notice."""
    return message("miniprogram_notice", {"appid": "wx1", "title": "订单发货", **more})


def mpnews(**article: Any) -> dict[str, Any]:
    """An mpnews message of one article."""
    return message("mpnews", {"articles": [{**MPNEWS, **article}]})


def many(options: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """So many options, each with an id of its own."""
    return [{**options[0], "id": str(number)} for number in range(count)]
