"""Every channel there is, ready to be asked."""

from __future__ import annotations

from tests.conformance import wecom_app
from tests.conformance.case import Case

CASES: tuple[Case, ...] = (wecom_app.CASE,)
