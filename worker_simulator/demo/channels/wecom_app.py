"""The demo's rows of WeCom applications: every message, upload, chat, recall and card update."""

from __future__ import annotations

from worker.channels import wecom_app as app
from worker.domain.content.message import File, Message
from worker.domain.content.recipient import AppChat, To
from worker.producer.follow_ups import recall, update_card
from worker_simulator.demo.channels.row import Row, follows, sends, uploads
from worker_simulator.demo.files import picture, report, video, voice

ACCOUNT = "app"
ACCOUNTS = """
[accounts.app]
channel = "wecom_app"
corpid = "ww-demo"
agentid = 1000002
callback = true
secret = {{ file = "{folder}/secret" }}
base_url = "{vendor}"
"""
PEOPLE = To(users=["zhangsan", "lisi"])
CHAT = "demochat"
LINK = "https://example.com/leave/17"
ACTION = app.CardAction(type=1, url=LINK)
TITLE = app.MainTitle(title="Leave request")
OPTIONS = [app.SelectOption(id="am", text="morning"), app.SelectOption(id="pm", text="afternoon")]

MESSAGES: dict[str, Message] = {
    "text": app.Text(content="The canteen closes at 14:00."),
    "image": app.Image(file=picture()),
    "voice": app.Voice(file=voice()),
    "video": app.Video(file=video(), title="Fire drill"),
    "file": app.FileMessage(file=report()),
    "textcard": app.TextCard(title="Order 17", description="Waits for you.", url=LINK),
    "news": app.News(articles=[app.NewsArticle(title="Outage over", url=LINK)]),
    "mpnews": app.MpNews(articles=[app.MpNewsArticle(title="Outage over", content="<p>It works.</p>", file=picture())]),
    "markdown": app.Markdown(content="**Outage** is over."),
    "miniprogram_notice": app.MiniProgramNotice(appid="wx0123456789abcdef", title="Room booked"),
    "card text_notice": app.TextNoticeCard(main_title=TITLE, card_action=ACTION),
    "card news_notice": app.NewsNoticeCard(
        main_title=TITLE, card_action=ACTION, card_image=app.CardImage(url="https://example.com/a.png")
    ),
    "card button_interaction": app.ButtonCard(main_title=TITLE, button_list=[app.Button(text="Yes", key="yes")]),
    "card vote_interaction": app.VoteCard(
        main_title=TITLE,
        checkbox=app.Checkbox(
            question_key="when", option_list=[app.CheckboxOption(id="am", text="morning", is_checked=False)]
        ),
        submit_button=app.SubmitButton(text="Send", key="send"),
    ),
    "card multiple_interaction": app.MultipleCard(
        main_title=TITLE,
        select_list=[app.SelectItem(question_key="when", title="When", option_list=OPTIONS)],
        submit_button=app.SubmitButton(text="Send", key="send"),
    ),
}
UPLOADS: dict[str, File] = {
    "image": picture("logo.png", 8),
    "voice": voice(),
    "video": video(),
    "file": report(),
    "uploadimg": picture("inline.png", 12),
}
CARD, TEXT = "wecom_app card button_interaction", "wecom_app text"


def rows() -> list[Row]:
    """Returns all rows, in the order of the table."""
    updated = follows(update_card, CARD, app.CardUpdate(replace_name="Done"))
    return [
        *(Row("wecom_app", what, sends(ACCOUNT, message, PEOPLE)) for what, message in MESSAGES.items()),
        *(Row("wecom_app", f"upload {kind}", uploads(ACCOUNT, file, kind)) for kind, file in UPLOADS.items()),
        *_chat(),
        Row("wecom_app", "recall", follows(recall, TEXT), after=[TEXT]),
        Row("wecom_app", "update_card", updated, after=[CARD]),
        Row("wecom_app", "update_card again", updated, ends="rejected", after=["wecom_app update_card"]),
    ]


def _chat() -> list[Row]:
    created, text = "wecom_app appchat create", "wecom_app appchat text"
    members = app.CreateChat(chatid=CHAT, userlist=["zhangsan", "lisi"])
    return [
        Row("wecom_app", "appchat create", sends(ACCOUNT, members)),
        Row("wecom_app", "appchat change", sends(ACCOUNT, app.ChangeChat(chatid=CHAT, name="Team")), after=[created]),
        Row("wecom_app", "appchat text", sends(ACCOUNT, app.Text(content="Hello."), AppChat(CHAT)), after=[created]),
        Row("wecom_app", "appchat recall", follows(recall, text), ends="refused", names="job_id", after=[text]),
    ]
