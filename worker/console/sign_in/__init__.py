"""Signs people in: by a password, a trusted proxy, an OpenID Connect provider, or a link that works once.

All but the proxy open the same kind of session. What a person may do is read from the settings with each request.
"""

from worker.console.sign_in.flow import SignIn
from worker.console.sign_in.sessions import SignInLink

__all__ = ["SignIn", "SignInLink"]
