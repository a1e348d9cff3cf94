"""The test kit: an outbox, a worker and a fake vendor in the test's own process, loaded by pytest as a plugin.

Nothing here is imported before a test uses one of the fixtures in `plugin.py`.
"""
