"""The hook of the demo's application, for an approver's press of a button of the card."""

from __future__ import annotations

from sqlalchemy import insert
from sqlalchemy.orm import Session

from worker.channels.wecom_app import CardUpdate
from worker.cli.demo.application import APPROVERS, notices
from worker.domain.callbacks.hook import CardPressed
from worker.hooks.registry import on_card_action
from worker.producer.update_card import update_card

SAYS = {"approve": "approved", "refuse": "refused"}


@on_card_action
def decided(action: CardPressed, session: Session) -> None:
    """Stores the decision and updates both approvers' cards, in one transaction."""
    session.execute(insert(notices).values(subject="decision"))
    update_card(session, action.job_id, CardUpdate(replace_name=SAYS[action.button]), APPROVERS)
