"""The functions that templates call to draw one message, field by field.

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
from worker.drawing.message_view import MessageView
from worker.drawing.node import Node, alteration_of, clean, plain, raw, take
from worker.drawing.words import Say

HEX_COLOUR = re.compile(r"#?([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
HUES = ((0.05, "red"), (0.18, "orange"), (0.47, "green"), (0.72, "blue"), (0.92, "purple"), (1.0, "red"))
"""Where each hue of the style sheet ends on the circle of colours."""
CHATS = frozenset({"wecom_app", "wecom_webhook"})
"""Channels whose texts mention members by `<@userid>`."""


@dataclass(frozen=True, slots=True)
class Renderer:
    """What templates call. A method that takes a node draws its field, which then does not count as left out."""

    shown: MessageView
    say: Say
    is_live: bool
    """True if buttons and choices can be pressed."""

    def text(self, node: Node) -> Markup:
        """Draws a field as it is, with its badge."""
        return self._marked(node, Markup("<bdi>{}</bdi>").format(take(node))) if node else Markup()

    def words(self, node: Node) -> str:
        """Returns a field as text, where nothing but text may stand."""
        return take(node)

    def value(self, node: Node) -> str:
        """Returns a field that people do not read, such as a key, a type or a colour. It is not counted as left out."""
        self.used(node)
        return plain(raw(node))

    def used(self, *nodes: Node) -> Markup:
        """Draws nothing. Fields with an unseen effect in the app do not count as left out."""
        for node in nodes:
            take(node)
        return Markup()

    def chat(self, node: Node) -> Markup:
        """Draws a text with the links and mentions that its channel has."""
        mention = self.mention if self.shown.channel in CHATS else None
        text = chat_text(take(node), has_tags=self.shown.channel == "wecom_app", mention=mention)
        return self._marked(node, Markup("<bdi>{}</bdi>").format(text))

    def coloured(self, node: Node) -> Markup:
        """Draws the description of a textcard."""
        return Markup('<div class="typed">{}</div>').format(self._marked(node, coloured_text(take(node))))

    def article(self, node: Node) -> Markup:
        """Draws the text of an article's HTML."""
        text = Markup('<div class="typed">{}</div>').format(article_text(take(node)))
        return self._marked(node, text)

    def markdown(self, node: Node, dialect: Dialect) -> Markup:
        """Draws a markdown text."""
        return self._marked(node, drawn(take(node), dialect, self.mention, self._picture_in_text))

    def _marked(self, node: Node, inside: Markup) -> Markup:
        return inside + mark(alteration_of(node), self.say)

    def link(self, address: Node, inside: Markup) -> Markup:
        """Draws the inside as a link if the address may be followed. Otherwise the address counts as left out."""
        given = plain(raw(address))
        return anchor(self.value(address) if followed(given) else given, inside)

    def leads(self, holder: Node, inside: Markup) -> Markup:
        """Draws the inside, and where its `type` leads: 1 to a URL, 2 into a mini program."""
        self.used(holder["type"])
        match raw(holder["type"]):
            case 1:
                return self.link(holder["url"], inside)
            case 2:
                return inside + self.mini_program(holder)
        return inside

    def mini_program(self, holder: Node) -> Markup:
        """Draws the label of something that opens a mini program."""
        self.used(holder["appid"], holder["page"], holder["pagepath"])
        return Markup(' <span class="chip">{}</span>').format(self.say("mini_program"))

    def mention(self, userid: str) -> Markup:
        """Draws a mentioned member, or all of them."""
        name = self.say("all") if userid == "@all" else self.shown.names.get(userid, userid)
        return Markup('<span class="mention">@{}</span>').format(clean(name))

    def mentions(self, *lists: Node) -> Iterator[Markup]:
        """Yields the members that lists name."""
        for node in (one for listed in lists for one in listed):
            yield self.mention(take(node))

    def person(self, node: Node) -> Markup:
        """Draws a member by name."""
        userid = take(node)
        return Markup("<bdi>{}</bdi>").format(clean(self.shown.names.get(userid, userid)))

    def picture(self, node: Node) -> Markup:
        """Draws the picture with a media_id or at an address. Without one on the page, draws a label and that text."""
        return self.picture_at(take(node)) if node else Markup()

    def picture_at(self, address: str) -> Markup:
        """Draws a picture that the page has, or a label for one elsewhere, which is never loaded."""
        inside, url = self._picture_in_text(address), self._url(address)
        if not url:
            return inside
        return Markup('<a href="{}" target="_blank" rel="noreferrer noopener">{}</a>').format(url, inside)

    def _picture_in_text(self, address: str) -> Markup:
        """Draws a picture without a link, because it may stand inside one."""
        url = self._url(address)
        if url:
            return Markup('<span class="picture"><img src="{}" alt="{}"></span>').format(url, self.say("picture"))
        form = '<span class="picture is-absent"><span class="chip">{}</span> <span class="address">{}</span></span>'
        return Markup(form).format(self.say("picture"), address)

    def file(self, node: Node, name: Node | None = None) -> Markup:
        """Draws a file that can be opened if the page has it. `name` is its name in the message."""
        address = self._url(self.value(node))
        called = take(name) if name else clean(file_name(address)) if address else take(node)
        inside = Markup('<span class="file-name">{}</span>').format(called)
        if not address:
            return inside
        return Markup('<a href="{}" target="_blank" rel="noreferrer noopener">{}</a>').format(address, inside)

    def media_url(self, node: Node) -> str:
        """Returns the address of a media_id on the page's origin, or an empty text."""
        return self._url(self.value(node))

    def _url(self, media_id: str) -> str:
        return loaded(self.shown.media(media_id)) if media_id else ""

    def hue(self, node: Node) -> str:
        """Returns the class for a colour that a message chose, because no page allows styles in attributes."""
        found = HEX_COLOUR.fullmatch(self.value(node))
        if not found:
            return "hue-none"
        hue, light, saturation = rgb_to_hls(*(int(one, 16) / 255 for one in found.groups()))
        if saturation < 0.15 or not 0.08 < light < 0.95:
            return "hue-grey"
        return f"hue-{next(name for end, name in HUES if hue <= end)}"

    def moment(self, node: Node) -> str:
        """Returns Unix seconds as a date, or an empty text."""
        seconds = raw(node)
        if isinstance(seconds, bool) or not isinstance(seconds, int) or not 0 < seconds < 2**36:
            return ""
        take(node)
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"

    def stays(self, node: Node, default: int) -> str:
        """Returns how long a window stays: `default` seconds without a number, until it is closed for 0 and less."""
        given = raw(node)
        number = given if isinstance(given, int) and not isinstance(given, bool) else 0
        take(node)
        seconds = number or default
        return self.say("stays", count=plain(seconds)) if seconds > 0 else self.say("stays_open")

    def chosen(self, holder: Node) -> int:
        """Returns the index of the option that a drop-down shows at first: of `selected_id`, or the first."""
        wanted = self.value(holder["selected_id"])
        ids = [self.value(one["id"]) for one in holder["option_list"]]
        return ids.index(wanted) if wanted in ids else 0

    def style(self, node: Node) -> str:
        """Returns a button's style: 1 to 4, and 1 for anything else."""
        return self.value(node) if self.value(node) in ("1", "2", "3", "4") else "1"

    def line_value(self, line: Node) -> Markup:
        """Draws the value of a card's line: text, a link, a file, or a member."""
        self.used(line["type"])
        match raw(line["type"]):
            case 2:
                return self.file(line["media_id"], line["value"])
            case 3:
                shown = self.text(line["value"]) if line["value"] else self.person(line["userid"])
                return Markup('<span class="mention">{}</span>').format(shown)
        return self.leads(line, self.text(line["value"]))
