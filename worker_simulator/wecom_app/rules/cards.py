"""Which field a template card needs, by card type (90236, 模板卡片消息; 94888 for updates), as tables.

Does not know task ids and response codes. Suggested lengths are advice: longer texts are accepted.
"""

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.findings import Code, Findings
from worker_simulator.wecom_app.rules.nested import ByType, EitherOf, Group, Items, Nothing, Rule, Table
from worker_simulator.wecom_app.rules.texts import TextRule
from worker_simulator.wecom_app.rules.values import Appid, FirstOf, Flag, MediaRule, NumberRule, Ratio

INTERACTIVE = frozenset({"button_interaction", "vote_interaction", "multiple_interaction"})
LARGEST_KEY = 1024


def table(*rules: Rule) -> Table:
    """An object of a card; what happens to fields it does not define is a setting."""
    return Table(*rules, undefined="undefined_field")


def link(types: tuple[int, ...] = (0, 1, 2), bad: Code = 0) -> tuple[Rule, ...]:
    """Where something leads, by its `type`: nowhere, to a url, or into a mini program."""
    needs: dict[int, Rule] = {0: Nothing(), 1: TextRule("url", missing=42028), 2: Appid(missing=42030)}
    return ByType({kind: needs[kind] for kind in types}, bad=bad), TextRule("pagepath")


def key(missing: Code, over: Code) -> TextRule:
    """What a callback brings back as EventKey."""
    return TextRule("key", missing=missing, limit=LARGEST_KEY, over=over)


def options(most: int, suggested: int, *more: Rule) -> Items:
    """The choices of a selection."""
    entry = table(
        TextRule("id", missing=42040, limit=128, over=42040),
        TextRule("text", missing=42041, suggested=suggested),
        *more,
    )
    return Items("option_list", most, 42037, entry, missing=42037, unique=("id", 42040))


def title(*, missing: Code = 41016, suggested: int = 36, desc: int = 44) -> Group:
    """A card's main title."""
    texts = (
        TextRule("title", missing, suggested=suggested, translated=True),
        TextRule("desc", suggested=desc, translated=True),
    )
    return Group("main_title", table(*texts), missing)


QUESTION_KEY = TextRule("question_key", missing=42043, limit=LARGEST_KEY, over=42043)
SOURCE_TEXTS = (TextRule("icon_url"), TextRule("desc", suggested=20, translated=True))
SOURCE = Group("source", table(*SOURCE_TEXTS))
COLOURED_SOURCE = Group("source", table(*SOURCE_TEXTS, NumberRule("desc_color")))
ACTIONS = table(TextRule("text", missing=40058), key(40058, "field_too_long"))
ACTION_MENU = Group(
    "action_menu",
    table(TextRule("desc"), Items("action_list", 3, 40058, ACTIONS, missing=40058, unique=("key", 42051))),
)
QUOTE_AREA = Group("quote_area", table(*link(), TextRule("title"), TextRule("quote_text")))
EMPHASIS = Group("emphasis_content", table(TextRule("title", suggested=14), TextRule("desc", suggested=22)))
SUB_TITLE = TextRule("sub_title_text", suggested=160, translated=True)
IMAGE_TEXT_AREA = Group(
    "image_text_area", table(*link(), TextRule("title"), TextRule("desc"), TextRule("image_url", missing=42044))
)
CARD_IMAGE = Group(
    "card_image", table(TextRule("url", missing=42044), Ratio("aspect_ratio", 1.3, 2.25, "aspect_ratio"))
)
VERTICAL = Items(
    "vertical_content_list",
    4,
    42036,
    table(TextRule("title", missing=42033, suggested=38), TextRule("desc", suggested=160)),
)
HORIZONTAL = Items(
    "horizontal_content_list",
    6,
    42035,
    table(
        TextRule("keyname", missing=42027, suggested=5),
        TextRule("value", suggested=30, translated=True),
        ByType(
            {
                0: Nothing(),
                1: TextRule("url", missing=42028),
                2: MediaRule("media_id", "file", missing=42029),
                3: TextRule("userid", missing=42050),
            }
        ),
    ),
)
JUMPS = Items("jump_list", 3, 42042, table(TextRule("title", missing=42033, suggested=18), *link()))
NOTICE_ACTION = Group("card_action", table(*link((1, 2), bad=42045)), missing=42045)
CARD_ACTION = Group("card_action", table(*link(bad=42045)))
SELECTED = FirstOf("selected_id", "option_list")
BUTTON_SELECTION = Group("button_selection", table(QUESTION_KEY, TextRule("title"), options(10, 16), SELECTED))
BUTTON = table(
    TextRule("text", missing=42038, suggested=10),
    ByType({0: key(42039, 42039), 1: TextRule("url", missing=42028)}),
    NumberRule("style", known=(1, 2, 3, 4), otherwise=1),
)
BUTTONS = Items("button_list", 6, 40058, BUTTON, missing=42038, unique=("key", 42039))
MENU_CARD: tuple[Rule, ...] = (COLOURED_SOURCE, ACTION_MENU, QUOTE_AREA, HORIZONTAL)
NOTICE: tuple[Rule, ...] = (*MENU_CARD, JUMPS, NOTICE_ACTION)
EITHER_TITLE = EitherOf(("main_title.title", "sub_title_text"), 41016)
EITHER_IMAGE = EitherOf(("image_text_area", "card_image"), 42044)


def submit_button(*, missing: Code) -> Group:
    """The button that sends a selection; an update may leave it out."""
    return Group("submit_button", table(TextRule("text", "submit_text", suggested=10), key(42046, 42046)), missing)


def _tables(*, updating: bool) -> dict[str, Table]:
    """The five types; an update has no task_id of its own and can freeze what people chose."""
    submit = submit_button(missing=0 if updating else 42046)
    own = (TextRule("card_type"),) if updating else (TextRule("card_type"), TextRule("task_id"))
    grey = (TextRule("replace_text"),) if updating else ()
    frozen = (Flag("disable"),) if updating else ()
    choices = options(20, 17, Flag("is_checked", missing="is_checked"))
    checkbox = Group("checkbox", table(QUESTION_KEY, NumberRule("mode"), choices, *frozen), missing=42043)
    selection = table(QUESTION_KEY, TextRule("title"), options(10, 16), SELECTED, *frozen)
    selects = Items("select_list", 3, 42047, selection, missing=42047, unique=("question_key", 42043))
    vote_title, wide_title = title(suggested=16, desc=160), title(desc=160)
    rules: dict[str, tuple[Rule, ...]] = {
        "text_notice": (*NOTICE, title(missing=0), EITHER_TITLE, EMPHASIS, SUB_TITLE),
        "news_notice": (*NOTICE, title(), EITHER_IMAGE, IMAGE_TEXT_AREA, CARD_IMAGE, VERTICAL),
        "button_interaction": (*MENU_CARD, title(), SUB_TITLE, CARD_ACTION, BUTTON_SELECTION, BUTTONS, *grey),
        "vote_interaction": (SOURCE, vote_title, checkbox, submit, *grey),
        "multiple_interaction": (SOURCE, wide_title, selects, submit, *grey),
    }
    return {card_type: table(*own, *fields) for card_type, fields in rules.items()}


SENT = _tables(updating=False)
UPDATED = _tables(updating=True)


def check_card(card: Json, found: Findings, *, updating: bool = False) -> None:
    """Check a card by its type's table."""
    rules = (UPDATED if updating else SENT).get(str(card.get("card_type")))
    if rules is None:
        raise Refused(42031)
    rules.check(card, "template_card", found)


def is_callback_capable(card: Json) -> bool:
    """Whether clicks come back, so that the card has a response_code and can be updated."""
    return card.get("card_type") in INTERACTIVE or bool(card.get("action_menu"))
