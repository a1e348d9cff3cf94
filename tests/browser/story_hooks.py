"""An application's hooks for the story of the inbox: each press and each text is answered with what was said."""

from __future__ import annotations

from sqlalchemy.orm import Session

from worker import (
    CardPressed,
    CardUpdate,
    Chats,
    MessageReceived,
    Text,
    To,
    enqueue,
    on_card_action,
    on_message,
    update_card,
    webhook,
)

APP, WEBHOOK, GROUP = "demo", "alerts", "wrteam"


@on_card_action
def pressed(action: CardPressed, session: Session) -> None:
    """Updates a card of the application; answers a click below a webhook's markdown in its chat."""
    chosen = ", ".join(option for options in action.selected.values() for option in options)
    said = f"noted: {action.button} {chosen}".strip()
    if action.account == APP:
        update_card(session, action.job_id, CardUpdate(replace_name=said), [action.person])
    else:
        enqueue(session, WEBHOOK, webhook.Text(content=said), Chats(GROUP))


@on_message
def wrote(message: MessageReceived, session: Session) -> None:
    """Answers the person who wrote."""
    enqueue(session, message.account, Text(content=f"you wrote: {message.text}"), To(users=[message.person]))
