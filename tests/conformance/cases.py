"""Every channel there is, ready to be asked."""

from __future__ import annotations

from tests.conformance import wecom_app, wecom_external, wecom_webhook, youdu
from tests.conformance.case import Case

CASES: tuple[Case, ...] = (wecom_app.CASE, wecom_webhook.CASE, wecom_external.CASE, youdu.CASE)
