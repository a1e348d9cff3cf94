"""The console: pages for those who operate, rendered on the server and served to signed-in people only.

It reads and acts through the rooms below it and knows neither Celery nor a vendor. What a page shows is decided by a
function of `pages/`; who may see it, by `viewer.py`; how it looks, by `templates/` and the drawing room.
"""

from worker.console.app import console_app
from worker.console.page import Site
from worker.console.sign_in import SignInLink

__all__ = ["SignInLink", "Site", "console_app"]
