"""One message while it is drawn: what its template asks for, field by field.

Everything that a template writes of a message goes through here or through autoescape. Does not know types of messages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from colorsys import rgb_to_hls
from dataclasses import dataclass
from datetime import UTC, datetime

from markupsafe import Markup

from worker.drawing.links import anchor, article_text, chat_text, coloured_text, file_name, followed, loaded
from worker.drawing.markdown import Dialect, drawn
from worker.drawing.marks import mark
from worker.drawing.node import Node, alteration_of, clean, plain, raw, take
from worker.drawing.shown import Shown
from worker.drawing.words import Say

HEX_COLOUR = re.compile(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
HUES = ((0.05, "red"), (0.18, "orange"), (0.47, "green"), (0.72, "blue"), (0.92, "purple"), (1.0, "red"))
"""Where a class of the style sheet ends on the circle of colours."""
CHATS = frozenset({"wecom_app", "wecom_webhook"})
"""Channels whose texts mention members by `<@userid>`."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What templates call. A method that takes a node draws its field, so the field does not count as left out."""

    shown: Shown
    say: Say
    is_live: bool
    """Whether what can be pressed is drawn so."""

    def text(self, node: Node) -> Markup:
        """A field as it is, and its mark."""
        return self._marked(node, Markup("<bdi>{}</bdi>").format(take(node))) if node else Markup()

    def words(self, node: Node) -> str:
        """A field where nothing but text may stand."""
        return take(node)

    def value(self, node: Node) -> str:
        """A field that works without being read, such as a key, a type or a colour; it does not count as left out."""
        self.used(node)
        return plain(raw(node))

    def used(self, *nodes: Node) -> Markup:
        """Nothing to draw: fields that do their work in the app without being seen do not count as left out."""
        for node in nodes:
            take(node)
        return Markup()

    def chat(self, node: Node) -> Markup:
        """A text with links and mentions, as far as its channel has them."""
        mention = self.mention if self.shown.channel in CHATS else None
        text = chat_text(take(node), has_tags=self.shown.channel == "wecom_app", mention=mention)
        return self._marked(node, Markup("<bdi>{}</bdi>").format(text))

    def coloured(self, node: Node) -> Markup:
        """The description of a textcard."""
        return Markup('<div class="typed">{}</div>').format(self._marked(node, coloured_text(take(node))))

    def article(self, node: Node) -> Markup:
        """The text of an article's HTML."""
        text = Markup('<div class="typed">{}</div>').format(article_text(take(node)))
        return self._marked(node, text)

    def markdown(self, node: Node, dialect: Dialect) -> Markup:
        """A markdown text."""
        return self._marked(node, drawn(take(node), dialect, self.mention, self._picture_in_text))

    def _marked(self, node: Node, inside: Markup) -> Markup:
        return inside + mark(alteration_of(node), self.say)

    def link(self, address: Node, inside: Markup) -> Markup:
        """The inside as a link, where the address may be followed; one that may not counts as left out."""
        given = plain(raw(address))
        return anchor(self.value(address) if followed(given) else given, inside)

    def leads(self, holder: Node, inside: Markup) -> Markup:
        """The inside, and where its `type` says that it leads: 1 to a URL, 2 into a mini program."""
        self.used(holder["type"])
        match raw(holder["type"]):
            case 1:
                return self.link(holder["url"], inside)
            case 2:
                return inside + self.mini_program(holder)
        return inside

    def mini_program(self, holder: Node) -> Markup:
        """The mark of what opens a mini program."""
        self.used(holder["appid"], holder["page"], holder["pagepath"])
        return Markup(' <span class="chip">{}</span>').format(self.say("mini_program"))

    def mention(self, userid: str) -> Markup:
        """A member who is mentioned, or all of them."""
        name = self.say("all") if userid == "@all" else self.shown.names.get(userid, userid)
        return Markup('<span class="mention">@{}</span>').format(clean(name))

    def mentions(self, *lists: Node) -> Iterator[Markup]:
        """The members that lists name."""
        for node in (one for listed in lists for one in listed):
            yield self.mention(take(node))

    def person(self, node: Node) -> Markup:
        """A member by name."""
        userid = take(node)
        return Markup("<bdi>{}</bdi>").format(clean(self.shown.names.get(userid, userid)))

    def picture(self, node: Node) -> Markup:
        """The picture with a media_id or at an address; where the page has none, a label and that."""
        return self.picture_at(take(node)) if node else Markup()

    def picture_at(self, address: str) -> Markup:
        """A picture that the page has, or what stands for one that is somewhere else, which is never loaded."""
        inside, url = self._picture_in_text(address), self._url(address)
        if not url:
            return inside
        return Markup('<a href="{}" target="_blank" rel="noreferrer noopener">{}</a>').format(url, inside)

    def _picture_in_text(self, address: str) -> Markup:
        """A picture that opens nothing: around it there may be a link."""
        url = self._url(address)
        if url:
            return Markup('<span class="picture"><img src="{}" alt="{}"></span>').format(url, self.say("picture"))
        form = '<span class="picture is-absent"><span class="chip">{}</span> <span class="address">{}</span></span>'
        return Markup(form).format(self.say("picture"), address)

    def file(self, node: Node, name: Node | None = None) -> Markup:
        """A file that can be opened where the page has it; `name` is what the message calls it."""
        address = self._url(self.value(node))
        called = take(name) if name else clean(file_name(address)) if address else take(node)
        inside = Markup('<span class="file-name">{}</span>').format(called)
        if not address:
            return inside
        return Markup('<a href="{}" target="_blank" rel="noreferrer noopener">{}</a>').format(address, inside)

    def media_url(self, node: Node) -> str:
        """The address of a media_id on the page's origin, or an empty text."""
        return self._url(self.value(node))

    def _url(self, media_id: str) -> str:
        return loaded(self.shown.media(media_id)) if media_id else ""

    def hue(self, node: Node) -> str:
        """The class for a colour that a message chose, since no page allows styles in attributes."""
        found = HEX_COLOUR.fullmatch(self.value(node))
        if not found:
            return "hue-none"
        hue, light, saturation = rgb_to_hls(*(int(one, 16) / 255 for one in found.groups()))
        if saturation < 0.15 or not 0.08 < light < 0.95:
            return "hue-grey"
        return f"hue-{next(name for end, name in HUES if hue <= end)}"

    def moment(self, node: Node) -> str:
        """Unix seconds as a date; empty where they are none."""
        seconds = raw(node)
        if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 < seconds < 2**36:
            return ""
        take(node)
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"

    def stays(self, node: Node, default: int) -> str:
        """How long a window stays; `default` seconds where none are given, and 0 and less until it is closed."""
        given = raw(node)
        number = given if isinstance(given, int) and not isinstance(given, bool) else 0
        take(node)
        seconds = number or default
        return self.say("stays", count=plain(seconds)) if seconds > 0 else self.say("stays_open")

    def chosen(self, holder: Node) -> int:
        """The number of the option that a drop-down shows at first: of `selected_id`, or the first of all."""
        wanted = self.value(holder["selected_id"])
        ids = [self.value(one["id"]) for one in holder["option_list"]]
        return ids.index(wanted) if wanted in ids else 0

    def style(self, node: Node) -> str:
        """A button's style: 1 to 4, anything else is 1."""
        return self.value(node) if self.value(node) in ("1", "2", "3", "4") else "1"

    def line_value(self, line: Node) -> Markup:
        """The value of a card's line: text, a link, a file, or a member."""
        self.used(line["type"])
        match raw(line["type"]):
            case 2:
                return self.file(line["media_id"], line["value"])
            case 3:
                shown = self.text(line["value"]) if line["value"] else self.person(line["userid"])
                return Markup('<span class="mention">{}</span>').format(shown)
        return self.leads(line, self.text(line["value"]))
