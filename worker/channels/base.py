"""The interface between the pipeline and a vendor. A channel is pure: no SQL, no HTTP, no clock, no Celery."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from worker.domain.content.message import Message
from worker.domain.errors import ConfigurationError, Problem, WorkerError
from worker.domain.job import JobKind, RepeatRule

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
    """The vendor gave a token. `expires_in_s` is its life in seconds."""

    token: str = field(repr=False)
    expires_in_s: int


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """The credentials are wrong, so the account is parked instead of another try."""

    reason: str
    remedy: str
    errcode: int | None = None
    hint: str | None = None
    """The vendor's trace number of the answer."""


@dataclass(frozen=True, slots=True)
class TokenLater:
    """There is no token now (busy, blocked, unreadable). Try again after `delay` seconds."""

    reason: str
    delay: float
    penalty: Penalty | None = None
    """What the refusal means for the account in addition to the wait."""
    remedy: str | None = None
    """What a person can do about it, or None if it passes by itself."""
    alone: bool = False
    """True if no answer of the vendor was read. Then perhaps only this process gets none."""


@dataclass(frozen=True, slots=True)
class TokenStale:
    """The suite's token, with which the call was made, is no longer valid. Fetch that one again."""

    reason: str


class CallbackVerifier(Protocol):
    """Verifies and decrypts the requests to one account's callback address. Raises CallbackRefused for invalid ones."""

    def verify(self, query: Mapping[str, str], now: float) -> bytes:
        """Returns the body that answers the vendor's verification of the address."""

    def read(self, query: Mapping[str, str], body: bytes, now: float) -> Inbound:
        """Returns what the vendor reports. `now` is Unix time in seconds."""


TokenOutcome = TokenGranted | TokenRefused | TokenLater | TokenStale


@dataclass(frozen=True, slots=True)
class CodeGranted:
    """The vendor gave a permanent code for an authorisation code."""

    subject: str
    """The id of the corp that authorised."""
    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CodeExchange:
    """How the authorisation codes that callbacks bring are exchanged for permanent codes."""

    request: Callable[[Account, str, str], Request]
    """Builds the call from the account, its token and the authorisation code."""
    outcome: Callable[[Reply], CodeGranted | TokenRefused | TokenLater | TokenStale]
    """Returns what the answer means. TokenRefused means that this authorisation code is lost."""


class Bodies(Protocol):
    """Reads a body as the vendor's pages show it. Raises CheckFailed for what does not fit."""

    def message_from_json(self, data: Mapping[str, Any], *, raw: bool = False) -> Message:
        """Returns the typed message. With `raw`, a type that the channel does not know becomes its `Raw`."""

    def recipients_from_json(self, data: Mapping[str, Any]) -> Recipients:
        """Returns the recipients."""


class FetchedWith(Enum):
    """What a token is fetched with, in addition to a secret or code."""

    NOTHING = "nothing"
    TICKET = "ticket"
    """The newest ticket that the suite's callbacks brought."""
    TOKEN = "token"
    """The suite's own token."""


Advice = tuple[str, str]
"""A reason and a remedy."""


@dataclass(frozen=True, slots=True)
class TokenSteps:
    """How a token is fetched that needs more than the secret of its account.

    The channel says what is needed. The caller brings it, from the stored credentials or by a fetch.
    """

    suite: str
    """The account whose callbacks brought what is needed, and whose secret seals it."""
    subject: str | None
    """The corp whose permanent code replaces the account's secret. None if the account has its own secret."""
    extra: FetchedWith
    request: Callable[[Account, str, str, int], Request]
    """Builds the call from account, secret or code, extra credential (may be empty) and Unix time in seconds."""
    outcome: Callable[[Reply, Account], TokenOutcome]
    missing: Advice
    """The reason and remedy while a ticket or code has not come."""
    ended: Advice = ("", "")
    """The reason and remedy after a code was withdrawn."""
    exchange: CodeExchange | None = None
    """None if its callbacks bring no authorisation codes."""


class Channel:
    """Everything that the pipeline needs to know about a vendor. The defaults are for a vendor without that feature."""

    name: str
    host: str | None = None
    """The vendor's public host (`https://api.example.com`), or None if every customer runs its own. Read only of a
    channel from outside; this package's table has its own."""
    kinds: frozenset[str] = frozenset()
    sends: frozenset[str] = frozenset()
    """The kinds whose recipients are counted and can be sent to again."""
    uses_token = False
    calls_with_secret = False
    """True if every call needs the account's secret itself (a webhook's key, an AES key), not only gettoken."""
    counts_members = False
    """True if a call counts against the limits of each known member of its departments, tags or @all."""
    account_keys: frozenset[str]
    """The keys of the account's own settings that the channel reads."""
    checks: Checks
    """The checks of a new job, by its kind."""
    profile: Mapping[str, Limit] = {}
    """Every published limit, by the name under which an account overrides it."""
    errcodes: Catalogue
    """The meaning of the vendor's codes."""
    beside: frozenset[str] = frozenset()
    """What may stand beside a message's own object in a body, also what only the worker sets."""
    instead: Mapping[str, tuple[str, ...]] = {}
    """Names of message classes of other channels, each with its own classes that come nearest; "" for all others."""
    unused_options: Mapping[str, frozenset[str]] = {}
    """The options of a message that a kind of job does not have, by kind."""
    customer_month: int | None = None
    """Messages that a customer may get in a calendar month of China before a further one is warned about, or None."""
    bodies: Bodies | None = None
    """What reads the vendor's bodies, or None if the channel sends nothing. In our own channels it is a module."""
    recall_window_s: int | None = None
    """Seconds after its acceptance in which a send can be recalled, or None without such a limit."""

    # -- accounts -----------------------------------------------------------------------------------------------------

    def account_problems(self, account: Account) -> list[Problem]:
        """Returns the account's wrong settings. Empty if jobs can be sent with it. Reads no secret."""
        return list(self.key_problems(account.settings))

    @staticmethod
    def key_problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
        """Yields the wrong ones among `account_keys`."""
        raise NotImplementedError

    def cautions(self, account: Account) -> Iterable[str]:
        """Returns a sentence for each missing setting that an application may need, although jobs can be sent."""
        return ()

    def app_scope(self, account: Account) -> str:
        """Returns the key of the app that the vendor sees, by default this account alone.

        To the vendor, accounts with the same key are one app: for its duplicate check, task_ids and response_codes.
        They have one callback address.
        """
        return account.name

    def media_scope(self, account: Account) -> str:
        """Returns the key of all accounts that can use a media_id of this account.

        Accounts with the same key (a corp, a webhook key) share uploads, and a search shows them the same.
        """
        return self.app_scope(account)

    # -- a new job ----------------------------------------------------------------------------------------------------

    def reader(self) -> Bodies:
        """Returns what reads messages and recipients from bodies as the vendor's pages show them."""
        if self.bodies is None:
            raise self._sends_nothing()
        return self.bodies

    def plain_text(self, content: str) -> Message:
        """Returns a plain text message."""
        raise self._sends_nothing()

    def named(self, *ids: str) -> Recipients:
        """Returns the recipients with these ids in their usual meaning: members, chats or customers."""
        raise self._sends_nothing()

    def kind_of(self, document: Mapping[str, Any], to: Recipients) -> str:
        """Returns the kind of job that a message needs, by its type and recipients."""
        return JobKind.SEND

    def follow_up_problem(self, kind: str, target_kind: str) -> Problem | None:
        """Returns why such a follow-up of such a job is never possible, or None if that is decided when it is due."""
        raise NotImplementedError

    def is_plain(self, draft: Draft) -> bool:
        """Returns True only if `check` and `warnings` would find nothing and one call holds all recipients."""
        return False

    def check(self, draft: Draft) -> list[Problem]:
        """Returns every wrong field at once, in the vendor's names. Empty if the job may be stored."""
        ours = self.checks.get(draft.kind)
        if ours is None:
            return [Problem("kind", "this channel has no such kind of job", f"use one of {', '.join(self.checks)}")]
        return list(dict.fromkeys(problem for check in ours for problem in check(draft)))

    def warnings(self, draft: Draft) -> list[str]:
        """Returns what is allowed but worth a warning (advised lengths, a member who may be reached twice)."""
        return []

    def fit(
        self, kind: str, document: Mapping[str, Any], account: Account, overflow: str
    ) -> tuple[dict[str, Any], list[str]]:
        """Splits or truncates what is too long, as `overflow` says. Returns the document and what was changed."""
        return dict(document), []

    def split(self, draft: Draft) -> list[dict[str, Any]]:
        """Returns one spec in JSON for each part, within the vendor's maxima."""
        raise self._sends_nothing()

    def lane(self, kind: str, message: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
        """Returns the readable lane inside an account (`send/text`): what is admitted and blocked together."""
        raise self._sends_nothing()

    # -- the attempt --------------------------------------------------------------------------------------------------

    def limits(self, part: Part, account: Account) -> Sequence[Charge]:
        """Returns what this call costs against which limits, with the account's overrides."""
        raise self._sends_nothing()

    def counted(self, account: Account, recipient: str | None) -> Iterable[LimitCounter]:
        """Returns every limit of the account, for any call.

        With `recipient`, limits per recipient name the count of that one. With None they name no single recipient.
        """
        return ()

    def narrow(
        self, spec: Mapping[str, Any], later: Collection[str], members: Collection[str] = ()
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Divides a part's spec into one without the recipients in `later`, and one for them alone.

        The recipients are those of `Charge.recipient`. Returns None if the spec cannot be divided, or if a member could
        be reached by both halves. `members` has all members of its departments and tags, if they are known.
        """
        return None

    def repeat_rule(self, kind: str, message: Mapping[str, Any]) -> tuple[RepeatRule, int]:
        """Returns what makes a repeat of such a part safe, and for how many seconds (0 without an end).

        With `HOLD`, the seconds within which the vendor may drop an equal call that uses its duplicate check (0 if none
        can).
        """
        raise self._sends_nothing()

    def is_looked_up(self, kind: str, message: Mapping[str, Any]) -> bool:
        """Returns True if the next call of a part in doubt is a search for it."""
        return self.repeat_rule(kind, message)[0] is RepeatRule.LOOK_UP

    def request(self, part: Part, account: Account, access: Access, *, flagged: bool) -> Request:
        """Builds the call, always the same for the same part. `flagged` turns the vendor's duplicate check on."""
        raise self._sends_nothing()

    def body_hash(self, part: Part, account: Account) -> str:
        """Returns the SHA-256 (hex) of what the vendor's duplicate check may compare, without its flag fields."""
        raise self._sends_nothing()

    def outcome(self, part: Part, account: Account, reply: Reply, access: Access) -> Verdict:
        """Returns what the vendor's answer means for this part."""
        raise self._sends_nothing()

    def explain(self, code: int, lang: Lang) -> list[str] | None:
        """Returns the meaning of a vendor code and its remedy as lines (`en` or `zh`), or None for an unknown code."""
        return self.errcodes.explain(code, lang)

    # -- tokens -------------------------------------------------------------------------------------------------------

    def token_steps(self, account: Account) -> TokenSteps | None:
        """Returns what the token needs beyond the account's secret, or None if `token_request` is enough."""
        return None

    def token_request(self, account: Account, secret: str, now: int) -> Request:
        """Builds the call that fetches a token. `now` is Unix time in seconds, for vendors that require it."""
        raise WorkerError(f"channel {self.name} gets no token with a secret", channel=self.name)

    def token_outcome(self, reply: Reply, account: Account, secret: str) -> TokenOutcome:
        """Returns what the answer to `token_request` means."""
        raise WorkerError(f"channel {self.name} gets no token with a secret", channel=self.name)

    # -- files --------------------------------------------------------------------------------------------------------

    def upload_limit(self, account: Account, upload_type: str) -> int:
        """Returns how many bytes a file of an upload type may have for an account."""
        raise self._sends_nothing()

    def upload_part(self, file: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the message document of the upload job that a send's attached file needs."""
        return {"type": JobKind.UPLOAD.value, "files": {"media": dict(file)}}

    # -- callbacks ----------------------------------------------------------------------------------------------------

    def callback_secrets(self, account: Account) -> Mapping[str, Secret]:
        """Returns the secrets of the callback address, by setting. Empty if `worker receiver` does not serve it."""
        return {}

    def callback_verifier(self, account: Account, secrets: Mapping[str, str], max_age_s: float) -> CallbackVerifier:
        """Returns the verifier of its requests. Raises ConfigurationError if a secret is malformed."""
        raise ConfigurationError(f"accounts.{account.name}: channel {self.name} has no callbacks")

    def _sends_nothing(self) -> WorkerError:
        return WorkerError(f"channel {self.name} sends nothing; use another account", channel=self.name)
