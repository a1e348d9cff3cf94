"""Both dialects of markdown: that of applications and webhooks, and markdown_v2 of webhooks.

Each enables only what its page lists (90236 发送应用消息; 99110 消息推送配置说明). So what a dialect lacks is shown as
typed, HTML above all. Does not know fields.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from markupsafe import Markup, escape

from worker.drawing.links import MENTION, followed

Dialect = Literal["markdown", "markdown_v2"]
Mentioned = Callable[[str], Markup]
Picture = Callable[[str], Markup]
MAX_PARSED = 16_384
"""Characters. A longer text, which no vendor accepts, is shown as it was typed."""
SHARED = ("heading", "blockquote", "newline", "backticks", "emphasis", "balance_pairs", "link")
ADDED = ("list", "fence", "hr", "table", "image")
FONT = re.compile(r"<font\s+color\s*=\s*[\"']?(info|comment|warning)[\"']?\s*>", re.IGNORECASE)
FONT_END = re.compile("</font>", re.IGNORECASE)
ALIGNED = re.compile(r"text-align:(left|center|right)")


def drawn(text: str, dialect: Dialect, mentioned: Mentioned, picture: Picture) -> Markup:
    """Draws a markdown text as HTML. `picture` draws the image at an address, `mentioned` the member with an id."""
    if len(text) > MAX_PARSED:
        return Markup('<p class="typed">{}</p>').format(text)
    # The parser escapes every character of the text, because HTML is off.
    return Markup(_parser(dialect).render(text, {"mentioned": mentioned, "picture": picture}))


@cache
def _parser(dialect: Dialect) -> MarkdownIt:
    made = MarkdownIt("zero", {"html": False, "breaks": True}).enable(SHARED)
    made.validateLink = lambda url: bool(followed(url))  # type: ignore[method-assign]
    made.add_render_rule("link_open", _link_open)
    made.add_render_rule("heading_open", _heading)
    made.add_render_rule("heading_close", lambda *_: "</p>\n")
    if dialect == "markdown":
        made.inline.ruler.push("font", _font)
        made.inline.ruler.push("mention", _mention)
        made.add_render_rule("mention", _mentioned)
        for name in ("em_open", "em_close", "strong_open", "strong_close"):
            made.add_render_rule(name, _bold_alone)
        return made
    made.enable(ADDED)
    made.add_render_rule("image", _image)
    for name in ("th_open", "td_open"):
        made.add_render_rule(name, _aligned)
    made.add_render_rule("table_open", lambda *_: '<div class="scroll" tabindex="0"><table>')
    made.add_render_rule("table_close", lambda *_: "</table></div>")
    return made


def _font(state: StateInline, silent: bool) -> bool:
    """Reads `<font color="info">` and the like: green, grey, orange. Other colours are no tags."""
    found = FONT.match(state.src, state.pos, state.posMax)
    ending = found and _next_font_end(state, found.end())
    if not found or not ending:
        return False
    if not silent:
        end = state.posMax
        state.push("font_open", "span", 1).attrSet("class", f"ink-{found[1].lower()}")
        state.pos, state.posMax = found.end(), ending.start()
        state.md.inline.tokenize(state)
        state.push("font_close", "span", -1)
        state.posMax = end
    state.pos = ending.end()
    return True


def _next_font_end(state: StateInline, position: int) -> re.Match[str] | None:
    # All of a text are searched for once: to look on from each tag takes the square of its length.
    if state.env.get("font_ends_of") is not state.src:
        state.env["font_ends_of"], state.env["font_ends"] = state.src, [*FONT_END.finditer(state.src)]
    ends: list[re.Match[str]] = state.env["font_ends"]
    number = bisect_left(ends, position, key=re.Match.start)
    return ends[number] if number < len(ends) and ends[number].end() <= state.posMax else None


def _mention(state: StateInline, silent: bool) -> bool:
    """Reads `<@userid>`."""
    found = MENTION.match(state.src, state.pos, state.posMax)
    if not found:
        return False
    if not silent:
        state.push("mention", "", 0).content = found[1]
    state.pos = found.end()
    return True


def _mentioned(renderer: RendererHTML, tokens: Sequence[Token], number: int, options: OptionsDict, env: EnvType) -> str:
    mentioned: Mentioned = env["mentioned"]
    return str(mentioned(tokens[number].content))


def _bold_alone(
    renderer: RendererHTML, tokens: Sequence[Token], number: int, options: OptionsDict, env: EnvType
) -> str:
    """Keeps only `**` as markup: in this dialect one star and underscores are shown as typed."""
    token = tokens[number]
    return renderer.renderToken(tokens, number, options, env) if token.markup == "**" else token.markup


def _link_open(renderer: RendererHTML, tokens: Sequence[Token], number: int, options: OptionsDict, env: EnvType) -> str:
    tokens[number].attrs.update({"target": "_blank", "rel": "noreferrer noopener nofollow"})
    return renderer.renderToken(tokens, number, options, env)


def _heading(renderer: RendererHTML, tokens: Sequence[Token], number: int, options: OptionsDict, env: EnvType) -> str:
    """Draws a paragraph that looks like a heading: the headings of a page are the page's own."""
    return f'<p class="heading-{len(tokens[number].markup)}">'


def _image(renderer: RendererHTML, tokens: Sequence[Token], number: int, options: OptionsDict, env: EnvType) -> str:
    """Draws the picture and its alternative text."""
    token = tokens[number]
    picture: Picture = env["picture"]
    return str(picture(str(token.attrGet("src") or "")) + escape(token.content))


def _aligned(renderer: RendererHTML, tokens: Sequence[Token], number: int, options: OptionsDict, env: EnvType) -> str:
    """Draws a cell. Its alignment is a class, because no page allows styles in attributes."""
    attributes: dict[str, Any] = tokens[number].attrs
    found = ALIGNED.search(str(attributes.pop("style", "")))
    if found:
        attributes["class"] = f"align-{found[1]}"
    return renderer.renderToken(tokens, number, options, env)
