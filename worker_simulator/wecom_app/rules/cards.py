"""The fields of template cards by card type, as tables (90236 模板卡片消息; 94888 for updates).

Suggested lengths are only advice: longer texts are accepted.
"""

from worker_simulator.answers import Refused
from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.findings import Code, Findings
from worker_simulator.wecom_app.rules.nested import AtLeastOne, ByType, Group, Items, NoField, Rule, Table
from worker_simulator.wecom_app.rules.texts import TextRule
from worker_simulator.wecom_app.rules.values import Appid, Flag, MediaRule, NumberRule, OptionId, Ratio

INTERACTIVE = frozenset({"button_interaction", "vote_interaction", "multiple_interaction"})
LARGEST_KEY = 1024


def table(*rules: Rule) -> Table:
    """Returns the rules of an object of a card. A setting decides about fields that are not defined."""
    return Table(*rules, undefined="undefined_field")


def link(types: tuple[int, ...] = (0, 1, 2), unknown_type: Code = 0) -> tuple[Rule, ...]:
    """Returns the rules of a link by its `type`: none, a URL, or a mini program."""
    rules: dict[int, Rule] = {0: NoField(), 1: TextRule("url", missing=42028), 2: Appid(missing=42030)}
    return ByType({kind: rules[kind] for kind in types}, unknown_type=unknown_type), TextRule("pagepath")


def key(missing: Code, over: Code) -> TextRule:
    """Returns the rule of a button's key, which callbacks return as EventKey."""
    return TextRule("key", missing=missing, limit=LARGEST_KEY, over=over)


def options(limit: int, suggested: int, *rules: Rule) -> Items:
    """Returns the rule of a list of choices."""
    entry = table(
        TextRule("id", missing=42040, limit=128, over=42040),
        TextRule("text", missing=42041, suggested=suggested),
        *rules,
    )
    return Items("option_list", limit, 42037, entry, missing=42037, unique=("id", 42040))


def title(*, missing: Code = 41016, suggested: int = 36, desc: int = 44) -> Group:
    """Returns the rule of a card's main title."""
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
                0: NoField(),
                1: TextRule("url", missing=42028),
                2: MediaRule("media_id", "file", missing=42029),
                3: TextRule("userid", missing=42050),
            }
        ),
    ),
)
JUMPS = Items("jump_list", 3, 42042, table(TextRule("title", missing=42033, suggested=18), *link()))
NOTICE_ACTION = Group("card_action", table(*link((1, 2), unknown_type=42045)), missing=42045)
CARD_ACTION = Group("card_action", table(*link(unknown_type=42045)))
SELECTED = OptionId("selected_id", "option_list")
BUTTON_SELECTION = Group("button_selection", table(QUESTION_KEY, TextRule("title"), options(10, 16), SELECTED))
BUTTON = table(
    TextRule("text", missing=42038, suggested=10),
    ByType({0: key(42039, 42039), 1: TextRule("url", missing=42028)}),
    NumberRule("style", allowed=(1, 2, 3, 4), default=1),
)
BUTTONS = Items("button_list", 6, 40058, BUTTON, missing=42038, unique=("key", 42039))
MENU_CARD: tuple[Rule, ...] = (COLOURED_SOURCE, ACTION_MENU, QUOTE_AREA, HORIZONTAL)
NOTICE: tuple[Rule, ...] = (*MENU_CARD, JUMPS, NOTICE_ACTION)
EITHER_TITLE = AtLeastOne(("main_title.title", "sub_title_text"), 41016)
EITHER_IMAGE = AtLeastOne(("image_text_area", "card_image"), 42044)


def submit_button(*, missing: Code) -> Group:
    """Returns the rule of the submit button. An update may omit it."""
    return Group("submit_button", table(TextRule("text", "submit_text", suggested=10), key(42046, 42046)), missing)


def _tables(*, updating: bool) -> dict[str, Table]:
    """Returns the tables of the five card types. An update has no task_id, and can disable choices."""
    submit = submit_button(missing=0 if updating else 42046)
    base = (TextRule("card_type"),) if updating else (TextRule("card_type"), TextRule("task_id"))
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
    return {card_type: table(*base, *fields) for card_type, fields in rules.items()}


SENT = _tables(updating=False)
UPDATED = _tables(updating=True)


def check_card(card: Json, findings: Findings, *, updating: bool = False) -> None:
    """Checks a card by the table of its type."""
    rules = (UPDATED if updating else SENT).get(str(card.get("card_type")))
    if rules is None:
        raise Refused(42031)
    rules.check(card, "template_card", findings)


def is_callback_capable(card: Json) -> bool:
    """True if clicks are reported, so that the card gets a response_code and can be updated."""
    return card.get("card_type") in INTERACTIVE or bool(card.get("action_menu"))
