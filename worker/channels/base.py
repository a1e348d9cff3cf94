"""The interface between the pipeline and a vendor. A channel is pure: no SQL, no HTTP, no clock, no Celery."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from worker.domain.content.message import Message
from worker.domain.errors import ConfigurationError, Problem, WorkerError
from worker.domain.job import Kind, RepeatRule

if TYPE_CHECKING:
    from worker.channels.checking.job import Checks
    from worker.channels.errcodes import Catalogue
    from worker.domain.account import Account, Secret
    from worker.domain.call import Access, Reply, Request
    from worker.domain.callbacks.inbound import Inbound
    from worker.domain.content.recipient import Recipients
    from worker.domain.job import Draft, Part
    from worker.domain.outcome import Penalty, Verdict
    from worker.domain.pacing.limit import Charge, Limit, LimitCounter
    from worker.language import Lang


@dataclass(frozen=True, slots=True)
class TokenGranted:
    """The vendor gave a token; `expires_in_s` is its life in seconds."""

    token: str = field(repr=False)
    expires_in_s: int


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """The credentials are wrong: park the account instead of asking again."""

    reason: str
    remedy: str
    errcode: int | None = None
    hint: str | None = None
    """The vendor's trace number of the answer."""


@dataclass(frozen=True, slots=True)
class TokenLater:
    """No token now (busy, blocked, unreadable): ask again after `delay` seconds."""

    reason: str
    delay: float
    penalty: Penalty | None = None
    """What the refusal means for the account beyond the wait."""
    remedy: str | None = None
    """What a person can do about it; None: time alone heals it."""
    alone: bool = False
    """True: no answer of the vendor was read, so it may be this process alone that gets none."""


@dataclass(frozen=True, slots=True)
class TokenStale:
    """The token of the other account that the call was made with is not good any more: fetch that one anew."""

    reason: str


class CallbackDoor(Protocol):
    """Reads the requests to one account's callback address; CallbackRefused for any it cannot accept."""

    def verify(self, query: Mapping[str, str], now: float) -> bytes:
        """The body that answers the vendor's verification of the address."""

    def read(self, query: Mapping[str, str], body: bytes, now: float) -> Inbound:
        """What the vendor says; `now` is Unix time in seconds."""


TokenOutcome = TokenGranted | TokenRefused | TokenLater | TokenStale


@dataclass(frozen=True, slots=True)
class CodeGranted:
    """The vendor gave a lasting code for an authorisation code."""

    subject: str
    """The id of the corp that authorised."""
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CodeExchange:
    """How the authorisation codes that callbacks bring become lasting codes."""

    request: Callable[[Account, str, str], Request]
    """The call, by account, its token, and the authorisation code."""
    outcome: Callable[[Reply], CodeGranted | TokenRefused | TokenLater | TokenStale]
    """What the answer means; refused: this authorisation code is lost."""


class VendorJson(Protocol):
    """Reads a body as the vendor's pages show it; CheckFailed says what does not fit."""

    def message_from_json(self, data: Mapping[str, Any]) -> Message:
        """The typed message."""

    def recipients_from_json(self, data: Mapping[str, Any]) -> Recipients:
        """Whom it is for."""


class FetchedWith(Enum):
    """What a token is fetched with beside a secret or code."""

    NOTHING = "nothing"
    TICKET = "ticket"
    """The newest ticket that the keeper's callbacks brought."""
    TOKEN = "token"
    """The keeper's own token."""


Told = tuple[str, str]
"""A reason and a remedy."""


@dataclass(frozen=True, slots=True)
class TokenSteps:
    """How a token is fetched that takes more than the secret of its account.

    The channel says what is needed; who calls it brings that, out of what is kept and fetched.
    """

    suite: str
    """The account whose callbacks brought what is needed, and whose secret seals it."""
    subject: str | None
    """The corp whose lasting code takes the place of the account's secret; None: it has a secret of its own."""
    extra: FetchedWith
    request: Callable[[Account, str, str, int], Request]
    """The call, by account, secret or code, what is needed beside it (empty: nothing), and Unix time in seconds."""
    outcome: Callable[[Reply, Account], TokenOutcome]
    missing: Told
    """What is said while a ticket or code has not come."""
    ended: Told = ("", "")
    """What is said when a code was withdrawn."""
    exchange: CodeExchange | None = None
    """None: its callbacks bring no authorisation codes."""


class Channel:
    """Everything the pipeline asks about a vendor. What is not overridden is so for a vendor without such a thing."""

    name: str
    kinds: frozenset[str] = frozenset()
    sends: frozenset[str] = frozenset()
    """The kinds whose recipients are counted and can be sent to again."""
    uses_token = False
    calls_with_secret = False
    """Every call needs the account's secret itself (a webhook's key, an AES key), not only gettoken."""
    counts_members = False
    """Whether a call counts against the limits of each known member of its departments, tags or @all."""
    account_keys: frozenset[str]
    """Every key of the account's own settings that the channel reads."""
    checks: Checks
    """What is checked of a new job, by its kind."""
    profile: Mapping[str, Limit] = {}
    """Every published limit by the name under which an account overrides it."""
    errcodes: Catalogue
    """What the vendor's codes mean."""
    vendor_json: VendorJson | None = None
    """The module that reads the vendor's bodies; None: the channel sends nothing."""
    recall_window_s: int | None = None
    """Until how long after it was accepted a send can be taken back; None: no end."""

    # -- accounts -----------------------------------------------------------------------------------------------------

    def account_problems(self, account: Account) -> list[Problem]:
        """Every wrong value of the account's own settings; empty when jobs can be sent with it. Reads no secret."""
        return list(self.key_problems(account.settings))

    @staticmethod
    def key_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
        """Every wrong one of `account_keys`."""
        raise NotImplementedError

    def cautions(self, account: Account) -> Iterable[str]:
        """What a usable account leaves out that an application may count on, a sentence each."""
        return ()

    def app_scope(self, account: Account) -> str:
        """The key of what the vendor takes this account for; unless overridden the account alone.

        Accounts with the same scope are one to the vendor's duplicate check, its task_ids and its response_codes, and
        have one callback address.
        """
        return account.name

    def media_scope(self, account: Account) -> str:
        """The key of who can use a media_id of this account.

        Accounts with the same scope (a corp, a webhook key) share uploads, and a search shows them the same.
        """
        return self.app_scope(account)

    # -- a new job ----------------------------------------------------------------------------------------------------

    def parsed(self, body: Mapping[str, Any]) -> tuple[Message, Recipients]:
        """A message and its recipients out of a body as the vendor's pages show it."""
        if self.vendor_json is None:
            raise self._sends_nothing()
        return self.vendor_json.message_from_json(body), self.vendor_json.recipients_from_json(body)

    def plain_text(self, content: str) -> Message:
        """A plain text."""
        raise self._sends_nothing()

    def named(self, *ids: str) -> Recipients:
        """The recipients of these ids, as people mostly mean them: members, chats, customers."""
        raise self._sends_nothing()

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        """The kind of job a message is for, by its type and by whom it is for."""
        return Kind.SEND

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        """Why such a follow-up of such a job can never be; None: whether it can be now is decided when it is due."""
        raise NotImplementedError

    def is_plain(self, draft: Draft) -> bool:
        """True only when `check` and `warnings` would find nothing, and one call has all recipients; a cheap test."""
        return False

    def check(self, draft: Draft) -> list[Problem]:
        """Every wrong field at once, in the vendor's names; empty when the job may be stored."""
        ours = self.checks.get(draft.kind)
        if ours is None:
            return [Problem("kind", "this channel does not know it", f"use one of {', '.join(self.checks)}")]
        return list(dict.fromkeys(problem for check in ours for problem in check(draft)))

    def warnings(self, draft: Draft) -> list[str]:
        """What is allowed but worth saying (advised lengths, a member who may be reached twice)."""
        return []

    def fit(
        self, kind: str, document: Mapping[str, Any], account: Account, overflow: str
    ) -> tuple[dict[str, Any], list[str]]:
        """The document with what is too long split or truncated as `overflow` says, and a sentence for each change."""
        return dict(document), []

    def split(self, draft: Draft) -> list[dict[str, Any]]:
        """One JSON-able spec per part, each within the vendor's maxima."""
        raise self._sends_nothing()

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """The readable lane inside an account: what is admitted and blocked together (`send/text`)."""
        raise self._sends_nothing()

    # -- the attempt --------------------------------------------------------------------------------------------------

    def limits(self, part: Part, account: Account) -> Sequence[Charge]:
        """What this call costs against which limits, the account's overrides applied."""
        raise self._sends_nothing()

    def counted(self, account: Account, recipient: str | None) -> Iterable[LimitCounter]:
        """Every limit of the account, whatever the call.

        `recipient` chooses whose count the limits per recipient name; with None they name no single one.
        """
        return ()

    def narrow(
        self, spec: Mapping[str, Any], later: Collection[str], members: Collection[str] = ()
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Divide a part's spec: one spec without some recipients, one for them alone.

        The recipients are those of `Charge.recipient`. None where the spec cannot be divided, or where a member could
        be reached by both halves. `members` are all members of its departments and tags, where they are known.
        """
        return None

    def repeat_rule(self, kind: str, message: Mapping[str, Any]) -> tuple[RepeatRule, int]:
        """What makes a repeat of a part of such a job safe, and the seconds for which it does (0: no end).

        With `HOLD`: the seconds for which the vendor may drop an equal call that asks for its duplicate check (0: none
        can ask for it).
        """
        raise self._sends_nothing()

    def is_looked_up(self, kind: str, message: Mapping[str, Any]) -> bool:
        """True where the next call of a part in doubt is a search."""
        return self.repeat_rule(kind, message)[0] is RepeatRule.LOOK_UP

    def request(self, part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
        """The call, deterministic; `flagged` puts the vendor's duplicate check on."""
        raise self._sends_nothing()

    def body_hash(self, part: Part, account: Account) -> str:
        """SHA-256 (hex) of what the vendor's duplicate check may compare, its flag fields left out."""
        raise self._sends_nothing()

    def outcome(self, part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
        """What the vendor's answer means for this part."""
        raise self._sends_nothing()

    def explain(self, code: int, lang: Lang) -> list[str] | None:
        """What a code of the vendor's means and what is done about it, as lines (`en` or `zh`); None: never seen."""
        return self.errcodes.explain(code, lang)

    # -- tokens -------------------------------------------------------------------------------------------------------

    def token_steps(self, account: Account) -> TokenSteps | None:
        """What the account's token takes beyond its secret; None: nothing, and `token_request` is the call."""
        return None

    def token_request(self, account: Account, secret: str, now: int) -> Request:
        """The call that fetches a token; `now` is Unix time in seconds, for vendors that want to see it."""
        raise WorkerError(f"channel {self.name} has no token of a secret", channel=self.name)

    def token_outcome(self, reply: Reply, account: Account, secret: str) -> TokenOutcome:
        """What the answer to `token_request` means."""
        raise WorkerError(f"channel {self.name} has no token of a secret", channel=self.name)

    # -- files --------------------------------------------------------------------------------------------------------

    def upload_limit(self, upload_type: str) -> int:
        """The most bytes a file of an upload type may have."""
        raise self._sends_nothing()

    def upload_part(self, file: Mapping[str, Any]) -> dict[str, Any]:
        """The message document of the upload job that a send's attached file needs."""
        return {"type": Kind.UPLOAD.value, "files": {"media": dict(file)}}

    # -- callbacks ----------------------------------------------------------------------------------------------------

    def callback_secrets(self, account: Account) -> Mapping[str, Secret]:
        """The secrets of the account's callback address, by setting; empty: `worker receiver` does not serve it."""
        return {}

    def callback_door(self, account: Account, secrets: Mapping[str, str], max_age_s: float) -> CallbackDoor:
        """The reader of its requests; a malformed secret is a ConfigurationError."""
        raise ConfigurationError(f"accounts.{account.name}: channel {self.name} has no callbacks")

    def _sends_nothing(self) -> WorkerError:
        return WorkerError(f"channel {self.name} sends nothing; use another account", channel=self.name)
