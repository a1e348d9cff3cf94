"""Draws a message as people see it, and defines how every page is escaped and styled.

Pure: the vendor's JSON in, safe HTML out. It knows no other room, no clock, no network, and no file but its own
templates and style sheets. The simulator's inbox and the console share it.
"""

from worker.drawing.draw import STYLESHEET, draw, environment
from worker.drawing.message_view import Actions, Channel, Lang, MessageView
from worker.drawing.words import Say, read_words, says

__all__ = [
    "STYLESHEET",
    "Actions",
    "Channel",
    "Lang",
    "MessageView",
    "Say",
    "draw",
    "environment",
    "read_words",
    "says",
]
