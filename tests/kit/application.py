"""The hooks of an application that the kit's tests drive."""

from __future__ import annotations

from sqlalchemy.orm import Session

from worker import (
    CardPressed,
    CardUpdate,
    JobDone,
    JobState,
    MailingStage,
    MessageReceived,
    TagDone,
    Text,
    enqueue,
    on_card_action,
    on_job_done,
    on_message,
    on_tag_done,
    update_card,
)


class Unwell(Exception):
    """What a hook raises."""


@on_card_action(accounts=["hr"])
def decided(action: CardPressed, session: Session) -> None:
    update_card(session, action.job_id, CardUpdate(replace_name=f"done: {action.button}"), [action.person])


@on_message
def heard(message: MessageReceived, session: Session) -> None:
    if message.text == "fail":
        raise Unwell
    enqueue(session, message.account, Text(content=f"you said {message.text}"), [message.person])


@on_job_done(states=JobState.PARTIAL)
def some_refused(job: JobDone, session: Session) -> None:
    enqueue(session, "hr", Text(content="some did not get it"), ["boss"])


@on_tag_done(tags="mailing-*")
def over(done: TagDone, session: Session) -> None:
    enqueue(session, "hr", Text(content=f"{done.tag}: sent to {done.stages[MailingStage.SENT].recipients}"), ["boss"])
