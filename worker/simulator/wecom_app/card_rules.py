"""Which field a template card needs, by card type (90236, 模板卡片消息; 94888 for updates), as tables.

Refuses to know task ids and response codes. Suggested lengths are advice: longer texts are accepted.
"""

from worker.simulator.answers import Refused
from worker.simulator.request import Json
from worker.simulator.wecom_app.validation import ByType, EitherOf, Findings, Group, Items, Media, Rule, Text, check_all

INTERACTIVE = frozenset({"button_interaction", "vote_interaction", "multiple_interaction"})

LINK = ByType({1: ("url", 42028), 2: ("appid", 42030)})
CALLBACK_KEY = Text("key", missing=40058, limit=1024)
QUESTION_KEY = Text("question_key", missing=42043, limit=1024, over=42043)


class AttachmentOf:
    """The media_id of a horizontal entry of type 2."""

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Note the attachment's id."""
        if body.get("type") == 2:
            Media("media_id", "file", missing=42029).check(body, path, found)


def options(most: int, suggested: int) -> Items:
    """The choices of a selection."""
    entry = (Text("id", missing=42040, limit=128, over=42040), Text("text", missing=42041, suggested=suggested))
    return Items("option_list", most, 42037, entry, missing=42037, unique=("id", 42040))


def title(*, missing: int | None, suggested: int = 36, desc: int = 44) -> Group:
    """A card's main title."""
    return Group("main_title", (Text("title", missing, suggested=suggested), Text("desc", suggested=desc)), missing)


SOURCE = Group("source", (Text("icon_url"), Text("desc", suggested=20)))
ACTION_MENU = Group(
    "action_menu",
    (
        Items(
            "action_list", 3, 40058, (Text("text", missing=40058), CALLBACK_KEY), missing=40058, unique=("key", 42051)
        ),
    ),
)
QUOTE_AREA = Group("quote_area", (LINK,))
EMPHASIS = Group("emphasis_content", (Text("title", suggested=14), Text("desc", suggested=22)))
SUB_TITLE = Text("sub_title_text", suggested=160)
IMAGE_TEXT_AREA = Group("image_text_area", (LINK, Text("image_url", missing=42044)))
CARD_IMAGE = Group("card_image", (Text("url", missing=42044),))
VERTICAL = Items(
    "vertical_content_list", 4, 42036, (Text("title", missing=42033, suggested=38), Text("desc", suggested=160))
)
HORIZONTAL = Items(
    "horizontal_content_list",
    6,
    42035,
    (
        Text("keyname", missing=42027, suggested=5),
        Text("value", suggested=30),
        ByType({1: ("url", 42028), 3: ("userid", 42050)}),
        AttachmentOf(),
    ),
)
JUMPS = Items("jump_list", 3, 42042, (Text("title", missing=42033, suggested=18), LINK))
NOTICE_ACTION = Group("card_action", (ByType(LINK.needs, allowed=(1, 2), bad=42045),), missing=42045)
CARD_ACTION = Group("card_action", (ByType(LINK.needs, allowed=(0, 1, 2), bad=42045),))
BUTTON_SELECTION = Group("button_selection", (QUESTION_KEY, options(10, 16)))
BUTTONS = Items(
    "button_list",
    6,
    40058,
    (
        Text("text", missing=42038, suggested=10),
        ByType({0: ("key", 42039), 1: ("url", 42028)}),
        Text("key", limit=1024, over=42039),
    ),
    missing=42038,
    unique=("key", 42039),
)
CHECKBOX = Group("checkbox", (QUESTION_KEY, options(20, 17)), missing=42043)
SELECTS = Items("select_list", 3, 42047, (QUESTION_KEY, options(10, 16)), missing=42047, unique=("question_key", 42043))


def submit_button(*, missing: int | None) -> Group:
    """The button that sends a selection; an update may leave it out."""
    rules = (Text("text", missing=42049, suggested=10), Text("key", missing=42046, limit=1024, over=42046))
    return Group("submit_button", rules, missing)


def _rules(submit_missing: int | None) -> dict[str, tuple[Rule, ...]]:
    submit = submit_button(missing=submit_missing)
    vote_title = title(missing=41016, suggested=16, desc=160)
    menu_cards: tuple[Rule, ...] = (SOURCE, ACTION_MENU, QUOTE_AREA, HORIZONTAL)
    either_title = EitherOf(("main_title.title", "sub_title_text"), 41016)
    either_image = EitherOf(("image_text_area", "card_image"), 42044)
    notice = (JUMPS, NOTICE_ACTION)
    return {
        "text_notice": (*menu_cards, title(missing=None), either_title, EMPHASIS, SUB_TITLE, *notice),
        "news_notice": (
            *menu_cards,
            title(missing=41016),
            either_image,
            IMAGE_TEXT_AREA,
            CARD_IMAGE,
            VERTICAL,
            *notice,
        ),
        "button_interaction": (
            *menu_cards,
            title(missing=41016),
            SUB_TITLE,
            CARD_ACTION,
            BUTTON_SELECTION,
            BUTTONS,
        ),
        "vote_interaction": (SOURCE, vote_title, CHECKBOX, submit),
        "multiple_interaction": (SOURCE, title(missing=41016, desc=160), SELECTS, submit),
    }


SEND_RULES = _rules(submit_missing=42046)
UPDATE_RULES = _rules(submit_missing=None)


def check_card(card: Json, found: Findings, *, updating: bool = False) -> None:
    """Check a card by its type's table."""
    rules = (UPDATE_RULES if updating else SEND_RULES).get(str(card.get("card_type")))
    if rules is None:
        raise Refused(42031)
    check_all(rules, card, "template_card", found)


def is_callback_capable(card: Json) -> bool:
    """Whether clicks come back, so that the card has a response_code and can be updated."""
    return card["card_type"] in INTERACTIVE or bool(card.get("action_menu"))
