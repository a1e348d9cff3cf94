"""The names an application imports, for type checkers and editors; `__init__.py` loads each on first use."""

from worker.accounts.current import (
    configure as configure,
)
from worker.channels import wecom_app as wecom_app, wecom_external, wecom_webhook, youdu as youdu
from worker.channels.wecom_app import (
    ActionItem as ActionItem,
    ActionMenu as ActionMenu,
    Button as Button,
    ButtonCard as ButtonCard,
    ButtonSelection as ButtonSelection,
    CardAction as CardAction,
    CardImage as CardImage,
    CardSource as CardSource,
    CardUpdate as CardUpdate,
    ChangeChat as ChangeChat,
    Checkbox as Checkbox,
    CheckboxOption as CheckboxOption,
    CreateChat as CreateChat,
    EmphasisContent as EmphasisContent,
    FileMessage as FileMessage,
    HorizontalContent as HorizontalContent,
    Image as Image,
    ImageTextArea as ImageTextArea,
    Jump as Jump,
    MainTitle as MainTitle,
    Markdown as Markdown,
    MiniProgramNotice as MiniProgramNotice,
    MpNews as MpNews,
    MpNewsArticle as MpNewsArticle,
    MultipleCard as MultipleCard,
    News as News,
    NewsArticle as NewsArticle,
    NewsNoticeCard as NewsNoticeCard,
    NoticeItem as NoticeItem,
    PlainCardSource as PlainCardSource,
    QuoteArea as QuoteArea,
    Raw as Raw,
    SelectItem as SelectItem,
    SelectOption as SelectOption,
    SubmitButton as SubmitButton,
    Text as Text,
    TextCard as TextCard,
    TextNoticeCard as TextNoticeCard,
    Upload as Upload,
    VerticalContent as VerticalContent,
    Video as Video,
    Voice as Voice,
    VoteCard as VoteCard,
    escape_ids as escape_ids,
    message_from_json as message_from_json,
    message_to_json as message_to_json,
    recipients_from_json as recipients_from_json,
)
from worker.config.accounts import (
    AccountSource as AccountSource,
    FixedAccounts as FixedAccounts,
)
from worker.config.settings import (
    Settings as Settings,
    load_settings as load_settings,
)
from worker.control.audit import (
    AuditEntry as AuditEntry,
    CommandResult as CommandResult,
    FollowUpCount as FollowUpCount,
    list_audit as list_audit,
)
from worker.control.cancel import (
    cancel as cancel,
    find_open as find_open,
)
from worker.control.correct import (
    CorrectableJobs as CorrectableJobs,
    correct_jobs as correct_jobs,
    find_correctable as find_correctable,
)
from worker.control.erase import (
    erase as erase,
    find_person as find_person,
)
from worker.control.fence import (
    fence as fence,
    find_restored as find_restored,
)
from worker.control.new_message import (
    CorrectionSample as CorrectionSample,
)
from worker.control.pause import (
    PauseResult as PauseResult,
    list_pauses as list_pauses,
    pause as pause,
    pause_jobs as pause_jobs,
    resume as resume,
    resume_jobs as resume_jobs,
    wait_for_calls as wait_for_calls,
)
from worker.control.recall import (
    find_sent as find_sent,
    recall_jobs as recall_jobs,
)
from worker.control.replay import (
    ReplayableJobs as ReplayableJobs,
    find_replayable as find_replayable,
    replay_jobs as replay_jobs,
)
from worker.control.reschedule import (
    find_waiting as find_waiting,
    reschedule as reschedule,
)
from worker.control.resolve import (
    UnchangedReason as UnchangedReason,
    UnknownParts as UnknownParts,
    find_unknown as find_unknown,
    resolve as resolve,
)
from worker.control.selection import (
    JobSelection as JobSelection,
)
from worker.domain.account import (
    Account as Account,
    ClientCertificate as ClientCertificate,
    Egress as Egress,
    Secret as Secret,
)
from worker.domain.callbacks.hook import (
    CallbackReceived as CallbackReceived,
    CardPressed as CardPressed,
    JobDone as JobDone,
    MessageReceived as MessageReceived,
    TagDone as TagDone,
)
from worker.domain.content.message import (
    File as File,
    Message as Message,
)
from worker.domain.content.recipient import (
    AppChat as AppChat,
    Chats as Chats,
    CustomerGroups as CustomerGroups,
    Customers as Customers,
    Emails as Emails,
    Everyone as Everyone,
    Recipients as Recipients,
    To as To,
)
from worker.domain.errors import (
    CheckFailed as CheckFailed,
    ConfigurationError as ConfigurationError,
    DedupeConflict as DedupeConflict,
    JobNotFound as JobNotFound,
    NotReplayable as NotReplayable,
    Problem as Problem,
    RetryTransaction as RetryTransaction,
    StillOpen as StillOpen,
    WorkerError as WorkerError,
)
from worker.domain.job import (
    JobKind as JobKind,
    Priority as Priority,
)
from worker.domain.job_filter import (
    JobFilter as JobFilter,
)
from worker.domain.mailing import (
    MailingStage as MailingStage,
    StageCount as StageCount,
)
from worker.domain.pause import (
    Pause as Pause,
)
from worker.domain.state import (
    JobState as JobState,
    PartState as PartState,
)
from worker.hooks.registry import (
    on_callback as on_callback,
    on_card_action as on_card_action,
    on_job_done as on_job_done,
    on_message as on_message,
    on_tag_done as on_tag_done,
)
from worker.outbox.control.withdrawals import (
    Withdrawal as Withdrawal,
)
from worker.outbox.engine.database import (
    sqlite_engine as sqlite_engine,
)
from worker.outbox.engine.django import (
    django_session as django_session,
)
from worker.outbox.tables import (
    include_object as include_object,
)
from worker.producer.enqueue import (
    NewJob as NewJob,
    enqueue as enqueue,
    enqueue_many as enqueue_many,
    upload as upload,
)
from worker.producer.follow_ups import (
    recall as recall,
    recall_message as recall_message,
    remind as remind,
    track as track,
    update_card as update_card,
    update_card_by_code as update_card_by_code,
)
from worker.producer.insert import (
    JobRef as JobRef,
)
from worker.producer.options import (
    JobOptions as JobOptions,
    MessageOptions as MessageOptions,
)
from worker.producer.resend import (
    replay as replay,
    resend_failed as resend_failed,
)
from worker.reporting.campaign import (
    CampaignReport as CampaignReport,
    GroupSendStage as GroupSendStage,
    GroupSendTask as GroupSendTask,
    campaign as campaign,
)
from worker.reporting.code_stock import (
    CardCodes as CardCodes,
    codes_left as codes_left,
)
from worker.reporting.job_list import (
    JobCount as JobCount,
    JobPage as JobPage,
    count_jobs as count_jobs,
    find_jobs as find_jobs,
    text_hash as text_hash,
)
from worker.reporting.mailing import (
    MailingReport as MailingReport,
    RecallCount as RecallCount,
    mailing as mailing,
)
from worker.reporting.next_step import (
    NextStep as NextStep,
)
from worker.reporting.recipient_status import (
    RecipientCounts as RecipientCounts,
    RecipientStatus as RecipientStatus,
    recipients as recipients,
)
from worker.reporting.report import (
    AttemptReport as AttemptReport,
    JobReport as JobReport,
    JobSummary as JobSummary,
    PartReport as PartReport,
    Receipt as Receipt,
    RecipientFailure as RecipientFailure,
    failures as failures,
    get_job as get_job,
    receipts as receipts,
    wait_until_ended as wait_until_ended,
)
from worker.reporting.timeline import (
    TimelineEvent as TimelineEvent,
    timeline as timeline,
)
from worker.reporting.wait import (
    PartWait as PartWait,
    WaitReason as WaitReason,
)
from worker.reporting.why import (
    FollowUp as FollowUp,
    JobExplanation as JobExplanation,
    why as why,
)

external = wecom_external
webhook = wecom_webhook

__all__: list[str]
