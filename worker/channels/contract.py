"""All that a channel of another distribution may use: what docs/channels.md describes, and nothing else.

Other modules of `worker` change without notice.
"""

from worker.channels.base import (
    Advice as Advice,
    Bodies as Bodies,
    CallbackVerifier as CallbackVerifier,
    Channel as Channel,
    TokenGranted as TokenGranted,
    TokenLater as TokenLater,
    TokenOutcome as TokenOutcome,
    TokenRefused as TokenRefused,
)
from worker.channels.calls import digest as digest, json_bytes as json_bytes
from worker.channels.checking import overflow, rules
from worker.channels.checking.job import body_problems as body_problems, content_of as content_of
from worker.channels.checking.row import AllOrNone as AllOrNone, AnyOf as AnyOf, Prose as Prose, R as R
from worker.channels.checking.targets import other_recipients as other_recipients
from worker.channels.errcodes import Catalogue as Catalogue, Class as Class, Errcode as Errcode
from worker.channels.reading import BodyReader as BodyReader, object_of as object_of, text_in as text_in
from worker.channels.typed import (
    PlainMessage as PlainMessage,
    Raw as Raw,
    VendorMessage as VendorMessage,
    VendorObject as VendorObject,
    rows_of as rows_of,
)
from worker.channels.wecom import answer
from worker.channels.wecom.answer import Answer as Answer, Page as Page, no_vendor as no_vendor, verdict as verdict
from worker.channels.wecom.limits import counted as counted, with_overrides as with_overrides
from worker.domain.account import Account as Account, Secret as Secret
from worker.domain.call import Access as Access, Reply as Reply, Request as Request
from worker.domain.callbacks.inbound import CallbackRefused as CallbackRefused, Inbound as Inbound
from worker.domain.content.message import File as File, Message as Message
from worker.domain.content.recipient import Recipients as Recipients
from worker.domain.errors import (
    CheckFailed as CheckFailed,
    ConfigurationError as ConfigurationError,
    Problem as Problem,
)
from worker.domain.job import Draft as Draft, JobKind as JobKind, Part as Part, RepeatRule as RepeatRule
from worker.domain.outcome import (
    Accepted as Accepted,
    CallReceipt as CallReceipt,
    Outcome as Outcome,
    Parked as Parked,
    Partial as Partial,
    Penalty as Penalty,
    Refusal as Refusal,
    Rejected as Rejected,
    Retry as Retry,
    Scope as Scope,
    StaleToken as StaleToken,
    Unknown as Unknown,
    Verdict as Verdict,
    Wait as Wait,
)
from worker.domain.pacing.limit import (
    Charge as Charge,
    Limit as Limit,
    LimitCounter as LimitCounter,
    Unit as Unit,
)

row_problems, row_cautions = rules.problems, rules.cautions
shorten = overflow.fit
read_answer = answer.read
