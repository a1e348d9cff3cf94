"""Id translation (90236, enable_id_trans): patterns in a text become names.

Does not know which texts are translated.
"""

import re
from collections.abc import Callable

from worker_simulator.wecom_app.state.directory import Directory

PATTERN = re.compile(r"\$(userName|userAlias|userAliasOrName|departmentName)=([^$]*)\$")


def translator(directory: Directory) -> Callable[[str], str]:
    """Puts names into a text; what cannot be resolved stays as typed."""

    def name(match: re.Match[str]) -> str:
        named = directory.party_name if match[1] == "departmentName" else directory.user_name
        return named(match[2]) or match[0]

    return lambda text: PATTERN.sub(name, text)
