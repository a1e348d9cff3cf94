"""WeCom application messages: the channel and its typed messages."""

from worker.channels.typed import Upload as Upload
from worker.channels.wecom.cards import (
    Card as Card,
    CardAction as CardAction,
    CardImage as CardImage,
    EmphasisContent as EmphasisContent,
    HorizontalContent as HorizontalContent,
    ImageTextArea as ImageTextArea,
    Jump as Jump,
    MainTitle as MainTitle,
    PlainSource as PlainSource,
    QuoteArea as QuoteArea,
    Source as Source,
    VerticalContent as VerticalContent,
)
from worker.channels.wecom_app.channel import WecomApp as WecomApp
from worker.channels.wecom_app.messages.basic import (
    FileMessage as FileMessage,
    Image as Image,
    Markdown as Markdown,
    MiniProgramNotice as MiniProgramNotice,
    MpNews as MpNews,
    MpNewsArticle as MpNewsArticle,
    News as News,
    NewsArticle as NewsArticle,
    NoticeItem as NoticeItem,
    Raw as Raw,
    Text as Text,
    TextCard as TextCard,
    Video as Video,
    Voice as Voice,
    escape_ids as escape_ids,
)
from worker.channels.wecom_app.messages.cards import (
    ActionItem as ActionItem,
    ActionMenu as ActionMenu,
    Button as Button,
    ButtonCard as ButtonCard,
    ButtonSelection as ButtonSelection,
    Checkbox as Checkbox,
    CheckOption as CheckOption,
    MultipleCard as MultipleCard,
    NewsNoticeCard as NewsNoticeCard,
    Option as Option,
    SelectItem as SelectItem,
    SubmitButton as SubmitButton,
    TextNoticeCard as TextNoticeCard,
    VoteCard as VoteCard,
)
from worker.channels.wecom_app.messages.changes import (
    CardUpdate as CardUpdate,
    ChangeChat as ChangeChat,
    CreateChat as CreateChat,
)
from worker.channels.wecom_app.messages.vendor_json import (
    message_from_json as message_from_json,
    message_schema as message_schema,
    message_to_json as message_to_json,
    recipients_from_json as recipients_from_json,
)
