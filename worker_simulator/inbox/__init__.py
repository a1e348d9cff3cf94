"""The inbox: a web page with the messages of every person and chat, in which buttons can be pressed and texts written.

Actions of the page run as control calls, so a page can do nothing that a test cannot. Messages are drawn by
`worker.drawing`. The package is imported when a page is first requested.
"""
