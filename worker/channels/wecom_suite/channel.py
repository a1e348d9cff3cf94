"""The channel itself: a token and callbacks, and for every question about messages that there are none."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn

from worker.channels.base import TokenOutcome
from worker.channels.calls import no_cautions
from worker.channels.wecom import errcodes
from worker.channels.wecom.callback import secrets_of
from worker.channels.wecom_suite import account as keys, callback, token
from worker.domain.account import Account
from worker.domain.call import Access, Reply, Request
from worker.domain.content.message import Message
from worker.domain.content.recipient import Recipients
from worker.domain.errors import Problem, WorkerError
from worker.domain.job import Draft, Kind, Part, RepeatRule
from worker.domain.outcome import Verdict
from worker.domain.pacing.limit import Charge, Counted, Limit

NOTHING = Problem("account", "is a suite, which sends nothing", "send through the account of a customer's app")


class WecomSuite:
    """A suite of WeCom (第三方应用): takes tickets and authorisations, and has the token that other tokens take."""

    name = "wecom_suite"
    kinds: frozenset[str] = frozenset()
    sends: frozenset[str] = frozenset()
    uses_token = True
    calls_with_secret = False
    counts_members = False
    account_keys = keys.KEYS
    profile: Mapping[str, Limit] = {}
    recall_window_s: int | None = None

    account_problems = staticmethod(keys.problems)
    cautions = staticmethod(no_cautions)
    token_chain = staticmethod(token.token_chain)
    explain = staticmethod(errcodes.explain)
    callback_secrets = staticmethod(secrets_of)
    callback_door = staticmethod(callback.door)

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        """See `Channel.kind_of`; `check` refuses whatever it is."""
        return Kind.SEND

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        """See `Channel.follow_up_problem`."""
        return NOTHING

    def is_plain(self, draft: Draft) -> bool:
        """See `Channel.is_plain`."""
        return False

    def check(self, draft: Draft) -> list[Problem]:
        """See `Channel.check`."""
        return [NOTHING]

    def warnings(self, draft: Draft) -> list[str]:
        """See `Channel.warnings`."""
        return []

    def fit(
        self, kind: str, message: Mapping[str, Any], account: Account, overflow: str
    ) -> tuple[dict[str, Any], list[str]]:
        """See `Channel.fit`."""
        return dict(message), []

    def counted(self, account: Account, recipient: str | None) -> Iterable[Counted]:
        """See `Channel.counted`."""
        return ()

    def app_scope(self, account: Account) -> str:
        """See `Channel.app_scope`."""
        return f"suite:{account.settings.get('suite_id')}@{account.base_url}"

    def media_scope(self, account: Account) -> str:
        """See `Channel.media_scope`."""
        return self.app_scope(account)

    # -- never called: no job of a suite passes `check` ---------------------------------------------------------------

    def split(self, draft: Draft) -> list[dict[str, Any]]:
        """Never called."""
        self._refuse()

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """Never called."""
        self._refuse()

    def limits(self, part: Part, account: Account) -> Sequence[Charge]:
        """Never called."""
        self._refuse()

    def narrow(
        self, spec: Mapping[str, Any], later: Collection[str], members: Collection[str] = ()
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Never called."""
        self._refuse()

    def repeat_rule(self, part: Part) -> tuple[RepeatRule, int]:
        """Never called."""
        self._refuse()

    def request(self, part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
        """Never called."""
        self._refuse()

    def body_hash(self, part: Part, account: Account) -> str:
        """Never called."""
        self._refuse()

    def outcome(self, part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
        """Never called."""
        self._refuse()

    def token_request(self, account: Account, secret: str, now: int) -> Request:
        """Never called: `token_chain` says how its token is fetched."""
        self._refuse()

    def token_outcome(self, reply: Reply, account: Account, secret: str) -> TokenOutcome:
        """Never called: `token_chain` says how its token is fetched."""
        self._refuse()

    def upload_limit(self, upload_type: str) -> int:
        """Never called."""
        self._refuse()

    def upload_part(self, file: dict[str, Any]) -> dict[str, Any]:
        """Never called."""
        self._refuse()

    def parsed(self, body: Mapping[str, Any]) -> tuple[Message, Recipients]:
        """Always a WorkerError: there are no messages."""
        self._refuse()

    def plain_text(self, content: str) -> Message:
        """Always a WorkerError: there are no messages."""
        self._refuse()

    def named(self, *ids: str) -> Recipients:
        """Always a WorkerError: there are no recipients."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise WorkerError("a suite sends nothing; send through the account of a customer's app", channel=self.name)
