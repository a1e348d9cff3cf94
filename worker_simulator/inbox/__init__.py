"""The inbox: a page that draws what every person, chat and member was sent, and in which they can press and answer.

Reads the world and carries acts out through control, so that a page can do nothing that a test could not. How a message
looks is drawn by `worker.drawing`. Loaded when a page is asked for first; until then it costs nothing.
"""
