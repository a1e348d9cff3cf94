"""The test kit of applications: outbox, worker and fake vendor in the test's own process, loaded by pytest as a plugin.

Nothing here is imported before a test asks for one of the fixtures in `plugin.py`.
"""
