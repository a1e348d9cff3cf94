"""How a browser becomes a viewer's: by a password, by a trusted proxy, by an OpenID provider, or by a link used once.

All of them end in the same session; what its person may do is read from the settings with each request.
"""

from worker.console.sign_in.door import SignIn
from worker.console.sign_in.sessions import SignInLink

__all__ = ["SignIn", "SignInLink"]
