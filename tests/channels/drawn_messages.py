"""Random valid messages of every type and card that is drawn, by channel and type."""

from __future__ import annotations

from typing import Any

import wecom_app_messages as app
import wecom_external_messages as external
import wecom_webhook_messages as webhook
import youdu_messages as youdu
from hypothesis import strategies as st

from worker.drawing import Channel

Made = st.SearchStrategy[Any]


def _card(card_type: str, card: Made) -> Made:
    return card.map(lambda made: {"card_type": card_type, **made})


TYPES: dict[tuple[Channel, str], Made] = {
    **{("wecom_app", name): made for name, (made, _) in app.BODIES.items()},
    **{("wecom_webhook", name): made for name, made in webhook.BODIES.items()},
    **{("youdu", name): made for name, made in youdu.BODIES.items()},
    ("youdu", "pop_window"): youdu.WINDOWS,
    ("wecom_external", "campaign"): external.bodies(),
}
CARDS: dict[tuple[Channel, str], Made] = {
    **{("wecom_app", name): _card(name, made) for name, made in app.CARDS.items()},
    **{("wecom_webhook", name): _card(name, made) for name, made in webhook.CARDS.items()},
}
LONG = st.integers(1, 3000).flatmap(lambda size: st.sampled_from(["x" * size, "字" * size, "<b>&" * size]))
CUT: dict[str, Made] = {
    "text": app.obj(content=LONG),
    "textcard": app.obj(title=LONG, description=LONG, url=app.URL, btntxt=app.maybe(LONG)),
    "news": app.obj(articles=app.listed(app.obj(title=LONG, description=app.maybe(LONG), url=app.URL), 3, 1)),
    "video": app.obj(media_id=app.SHORT, title=app.maybe(LONG), description=app.maybe(LONG)),
    "mpnews": app.obj(
        articles=app.listed(
            app.obj(title=LONG, thumb_media_id=app.SHORT, content=app.SHORT, digest=app.maybe(LONG)), 3, 1
        )
    ),
}
"""By the type of an application's message: texts of which many are longer than the vendor shows."""
