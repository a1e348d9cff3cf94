"""One message of each type and card of every channel, with what can happen to it, and a page that shows all of them.

`python -m tests.support.drawn_samples FILE` writes that page, for a person to look at in a browser.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from worker.console.rendering import TONES, badge
from worker.drawing import STYLESHEET, Actions, Channel, Lang, MessageView, draw

LANGS: tuple[Lang, ...] = ("zh", "en")
ACTIONS = Actions(url="/press", hidden={"person": "chenmo"})
NAMES = {"lihua": "李华", "wangwei": "王伟"}
PHOTO = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="320" height="180"><rect width="320" height="180" fill="#69c"/>'
    '<circle cx="240" cy="60" r="30" fill="#fd8"/><path d="M0 180l90-90 60 60 60-80 110 110z" fill="#375"/></svg>'
)
PICTURE = "https://wwcdn.weixin.qq.com/node/wework/images/202010.png"


def media(media_id: str) -> str | None:
    """Some files exist."""
    return {"photo": "photo.svg", "m-file": "/media/%E6%8A%A5%E5%91%8A.pdf"}.get(media_id)


def shown(channel: Channel, msgtype: str, content: Any, **more: Any) -> MessageView:
    """A message with names, files and actions."""
    return MessageView(
        channel=channel, msgtype=msgtype, content=content, names=NAMES, media=media, actions=ACTIONS, **more
    )


SOURCE = {"icon_url": "https://wework.qpic.cn/icon/0", "desc": "费用报销", "desc_color": 1}
TITLE = {"title": "李华提交了一笔报销", "desc": "待你审批"}
QUOTE = {
    "type": 1,
    "url": "https://work.weixin.qq.com/q",
    "title": "引用标题",
    "quote_text": "王伟：企业微信真的很好用～",
}
LINES: list[dict[str, Any]] = [
    {"keyname": "部门", "value": "市场部"},
    {"keyname": "明细", "value": "查看明细", "type": 1, "url": "https://work.weixin.qq.com/d"},
    {"keyname": "附件", "value": "发票.pdf", "type": 2, "media_id": "m-file"},
    {"keyname": "申请人", "type": 3, "userid": "lihua"},
]
JUMPS = [
    {"type": 1, "title": "企业微信官网", "url": "https://work.weixin.qq.com"},
    {"type": 2, "title": "打开小程序", "appid": "wx123", "pagepath": "/index.html"},
]
OPEN = {"type": 1, "url": "https://work.weixin.qq.com/open"}
MENU = {"desc": "接收推送", "action_list": [{"text": "接收", "key": "on"}, {"text": "不再接收", "key": "off"}]}
OPTIONS = [{"id": "a", "text": "同意"}, {"id": "b", "text": "转交王伟"}, {"id": "c", "text": "退回"}]
CHECKS = [{"id": "1", "text": "火锅", "is_checked": True}, {"id": "2", "text": "烧烤", "is_checked": False}]
CARDS: dict[str, dict[str, Any]] = {
    "text_notice": {
        "source": SOURCE,
        "action_menu": MENU,
        "task_id": "t1",
        "main_title": TITLE,
        "quote_area": QUOTE,
        "emphasis_content": {"title": "¥ 3,280.00", "desc": "报销金额"},
        "sub_title_text": "请在今天 18:00 前处理",
        "horizontal_content_list": LINES,
        "jump_list": JUMPS,
        "card_action": OPEN,
    },
    "news_notice": {
        "source": {"desc": "企业文化", "desc_color": 3},
        "main_title": {"title": "秋季团建报名开始了", "desc": "本周五截止"},
        "quote_area": QUOTE,
        "image_text_area": {**OPEN, "title": "路线一", "desc": "莫干山徒步", "image_url": PICTURE},
        "card_image": {"url": "photo", "aspect_ratio": 2.25},
        "vertical_content_list": [{"title": "惊喜红包等你来拿", "desc": "下载企业微信还能抢红包！"}],
        "horizontal_content_list": LINES[:2],
        "jump_list": JUMPS,
        "card_action": OPEN,
    },
    "button_interaction": {
        "source": SOURCE,
        "action_menu": MENU,
        "task_id": "t2",
        "main_title": TITLE,
        "quote_area": QUOTE,
        "sub_title_text": "金额 3,280.00 元",
        "horizontal_content_list": LINES,
        "button_selection": {"question_key": "q", "title": "处理方式", "option_list": OPTIONS, "selected_id": "b"},
        "button_list": [
            {"text": "同意", "style": 1, "key": "yes"},
            {"text": "转交", "style": 2, "key": "pass"},
            {"text": "驳回", "style": 3, "key": "no"},
            {"text": "稍后", "style": 4, "key": "later"},
            {"type": 1, "text": "打开单据", "url": "https://work.weixin.qq.com/bill"},
        ],
        "card_action": OPEN,
    },
    "vote_interaction": {
        "source": {"desc": "行政"},
        "task_id": "t3",
        "main_title": {"title": "周五吃什么", "desc": "可多选"},
        "checkbox": {"question_key": "q", "mode": 1, "option_list": CHECKS},
        "submit_button": {"text": "投票", "key": "vote"},
    },
    "multiple_interaction": {
        "source": {"desc": "企业微信"},
        "task_id": "t4",
        "main_title": {"title": "欢迎使用企业微信", "desc": "您的好友正在邀请您加入企业微信"},
        "select_list": [
            {"question_key": "q1", "title": "时间", "option_list": OPTIONS, "selected_id": "c"},
            {"question_key": "q2", "title": "地点", "option_list": OPTIONS, "disable": True},
        ],
        "submit_button": {"text": "提交", "key": "submit"},
    },
}
ARTICLES = [
    {"title": "中秋节礼品领取", "description": "今年中秋节公司有豪礼相送", "url": "https://e.com/1", "picurl": PICTURE},
    {"title": "放假通知", "description": "9 月 15 日至 17 日放假调休", "url": "https://e.com/2", "picurl": PICTURE},
    {"title": "在小程序里报名", "appid": "wx123", "pagepath": "pages/index"},
]
APP_MARKDOWN = """# 您的会议室已经预定，稍后会同步到`邮箱`
**事项详情**
> 事　项：<font color="info">开会</font>
> 组织者：@miglioguan
> 状　态：<font color="warning">紧急</font> <font color="comment">昨天更新</font>
如需修改，请点击：[修改会议信息](https://work.weixin.qq.com) <@lihua>"""
V2_MARKDOWN = """# 一、标题
## 二级标题
*斜体* **加粗**
- 无序列表 1
  - 无序列表 1.1
1. 有序列表
   1. 第二层
> 一级引用
>> 二级引用

[链接](https://work.weixin.qq.com) ![图片说明](https://res.mail.qq.com/a.png)

---
| 姓名 | 文化衫尺寸 | 收货地址 |
| :----- | :----: | -------: |
| 张三 | S | 广州 |
| 李四 | L | 深圳 |

```
这是代码块
print("<b>")
```
行内 `code`"""
BUTTONS = [
    {
        "callback_id": "c",
        "actions": [
            {
                "type": "button",
                "name": f"b{number}",
                "text": text,
                "value": text,
                "replace_text": f"已选 {text}",
                "border_color": colour,
                "text_color": colour,
            }
            for number, (text, colour) in enumerate((("优秀", "#2EAB49"), ("一般", "#2C68C1"), ("较差", "#EE2020")))
        ],
    }
]
TEXT = (
    "你的快递已到，请携带工卡前往邮件中心领取。\n"
    '出发前可查看<a href="https://work.weixin.qq.com">邮件中心视频实况</a>，聪明避开排队。\n'
    "详见 https://work.weixin.qq.com/help"
)
MP_ARTICLES = [
    {
        "title": "2026 年度报告",
        "thumb_media_id": "photo",
        "author": "董事会办公室",
        "content": "<h1>致全体员工</h1><p>收入增长 <b>12%</b>。</p><ul><li>研发</li><li>销售</li></ul>"
        "<script>alert(1)</script>",
        "digest": "收入、利润和计划",
        "content_source_url": "https://e.com/report",
    },
    {"title": "附件：财务报表", "thumb_media_id": "missing", "content": "见正文"},
]
NOTICE = {
    "appid": "wx123",
    "page": "pages/index",
    "title": "会议室预订成功通知",
    "description": "4月27日 16:16",
    "emphasis_first_item": True,
    "content_item": [{"key": "会议室", "value": "402"}, {"key": "会议地点", "value": "广州TIT-402会议室"}],
}
CAMPAIGN = {
    "text": {"content": "国庆活动开始啦，点击查看详情 https://e.com/sale"},
    "attachments": [
        {"msgtype": "image", "image": {"media_id": "photo"}},
        {
            "msgtype": "link",
            "link": {"title": "活动页", "picurl": PICTURE, "desc": "全场八折", "url": "https://e.com/s"},
        },
        {"msgtype": "miniprogram", "miniprogram": {"title": "商城", "pic_media_id": "p", "appid": "wx1", "page": "/i"}},
        {"msgtype": "video", "video": {"media_id": "v1"}},
        {"msgtype": "file", "file": {"media_id": "m-file"}},
    ],
}
SYSTEM = {
    "title": "停机维护",
    "popDuration": 6,
    "msg": [
        {"text": {"content": "今晚 22:00 停机维护。"}},
        {"link": {"title": "查看详情", "url": "https://status.example.test", "action": 1}},
    ],
}
YOUDU_ARTICLES = [
    {"title": "故障已恢复", "media_id": "photo", "digest": "各系统恢复正常", "content": "正文\n第二行", "showFront": 1},
    {"title": "第二篇", "media_id": "absent", "content": "见内网"},
]
CUT = {"field": "text.content", "why": "cut", "limit": 2048, "unit": "bytes", "size": 5000}
SAMPLES: dict[str, MessageView] = {
    "app text": shown("wecom_app", "text", {"content": TEXT}, safe=1),
    "chat text": shown(
        "wecom_app", "text", {"content": "<@lihua> 请看", "mentioned_list": ["wangwei", "@all"]}, mentioned=True
    ),
    "cut text": shown("wecom_app", "text", {"content": "很长的文字……"}, altered=[CUT]),
    "recalled text": shown("wecom_app", "text", {"content": "发错了"}, state="recalled"),
    "app image": shown("wecom_app", "image", {"media_id": "photo"}),
    "absent image": shown("wecom_app", "image", {"media_id": "3QxJt8LwPz0aVbNcMdKeRf7GhSi1TjUk2YlXmZnWo4Cp5"}),
    "app voice": shown("wecom_app", "voice", {"media_id": "voice-1"}),
    "app video": shown("wecom_app", "video", {"media_id": "v1", "title": "培训视频", "description": "第三讲"}),
    "app file": shown("wecom_app", "file", {"media_id": "m-file"}),
    "textcard": shown(
        "wecom_app",
        "textcard",
        {
            "title": "领奖通知",
            "description": '<div class="gray">2026年9月26日</div> <div class="normal">恭喜你抽中 iPhone 一台，'
            '领奖码：xxxx</div><div class="highlight">请于 10 月 10 日前联系行政同事领取</div>',
            "url": "https://work.weixin.qq.com",
            "btntxt": "更多",
        },
    ),
    "news": shown("wecom_app", "news", {"articles": ARTICLES}),
    "mpnews": shown("wecom_app", "mpnews", {"articles": MP_ARTICLES}, safe=2),
    "app markdown": shown("wecom_app", "markdown", {"content": APP_MARKDOWN}),
    "miniprogram notice": shown("wecom_app", "miniprogram_notice", NOTICE),
    **{f"app {name}": shown("wecom_app", "template_card", {"card_type": name, **card}) for name, card in CARDS.items()},
    "frozen card": shown(
        "wecom_app",
        "template_card",
        {"card_type": "button_interaction", **CARDS["button_interaction"]},
        update={"replace_name": "已同意"},
    ),
    "updated card": shown(
        "wecom_app",
        "template_card",
        {"card_type": "vote_interaction", **CARDS["vote_interaction"]},
        update={
            "template_card": {
                "card_type": "vote_interaction",
                **CARDS["vote_interaction"],
                "main_title": {"title": "周五吃火锅", "desc": "投票已结束"},
                "replace_text": "已结束",
            }
        },
    ),
    "card with a foreign field": shown(
        "wecom_app",
        "template_card",
        {"card_type": "vote_interaction", **CARDS["vote_interaction"]},
        altered=[
            {"field": "template_card.quote_area", "why": "not defined"},
            {"field": "template_card.main_title.title", "why": "ids translated"},
        ],
    ),
    "webhook text": shown(
        "wecom_webhook", "text", {"content": "构建失败", "mentioned_mobile_list": ["13800001111", "@all"]}
    ),
    "webhook markdown": shown("wecom_webhook", "markdown", {"content": APP_MARKDOWN, "attachments": BUTTONS}),
    "webhook markdown_v2": shown("wecom_webhook", "markdown_v2", {"content": V2_MARKDOWN}),
    "webhook image": shown("wecom_webhook", "image", {"md5": "9a0364b9e99bb480dd25e1f0284c8555", "size": 20480}),
    "webhook news": shown("wecom_webhook", "news", {"articles": ARTICLES[:1]}),
    "webhook file": shown("wecom_webhook", "file", {"media_id": "f-1"}),
    "webhook voice": shown("wecom_webhook", "voice", {"media_id": "v-1"}),
    "webhook miniprogram": shown(
        "wecom_webhook", "miniprogram", {"title": "商城", "pic_media_id": "photo", "appid": "wx1", "page": "/index"}
    ),
    "webhook news_notice": shown(
        "wecom_webhook", "template_card", {"card_type": "news_notice", **CARDS["news_notice"]}
    ),
    "webhook text_notice": shown(
        "wecom_webhook", "template_card", {"card_type": "text_notice", **CARDS["text_notice"]}
    ),
    "campaign": shown("wecom_external", "campaign", CAMPAIGN),
    "youdu text": shown("youdu", "text", {"content": "你好，有度 😀 /::)"}),
    "youdu image": shown("youdu", "image", {"media_id": "photo"}),
    "youdu file": shown("youdu", "file", {"media_id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0-5"}),
    "youdu mpnews": shown("youdu", "mpnews", YOUDU_ARTICLES),
    "youdu link": shown("youdu", "link", {"title": "审批订单 17", "url": "https://oa.example.test/17", "action": 1}),
    "youdu exlink": shown(
        "youdu",
        "exlink",
        [
            {
                "title": "周报",
                "url": "https://bi.example.test/42",
                "digest": "第 42 周",
                "media_id": "",
                "subtitle": "华东",
            }
        ],
    ),
    "youdu sysMsg": shown("youdu", "sysMsg", SYSTEM),
    "youdu sms": shown("youdu", "sms", {"from": "13800000000", "content": "收到，谢谢"}),
    "youdu mail": shown(
        "youdu",
        "mail",
        {
            "action": "new",
            "subject": "发票",
            "fromEmail": "billing@example.test",
            "time": 1700000000,
            "link": "https://m.test",
        },
    ),
    "youdu unread mail": shown("youdu", "mail", {"action": "unread", "unreadCount": 5, "time": 1700000000}),
    "youdu window": shown(
        "youdu",
        "pop_window",
        {
            "url": "https://news.example.test/1",
            "title": "公告",
            "width": 400,
            "height": 300,
            "duration": 10,
            "position": 3,
        },
    ),
    "youdu tip": shown("youdu", "pop_window", {"tip": "今天 18:00 开会", "duration": -1}),
    "youdu badge": shown("youdu", "badge", {"count": 12, "tip": "12 项待办"}),
    "unknown type": shown(
        "wecom_app", "interactive_taskcard", {"title": "旧任务卡", "btn": [{"key": "k", "name": "同意"}]}
    ),
}


def page(lang: Lang, theme: str) -> Markup:
    """All samples, pressable and inert, and all states."""
    drawn = (
        Markup('<section class="panel"><h2>{}</h2><div class="chat">{}{}</div></section>').format(
            name, draw(one, lang), draw(replace(one, actions=None), lang)
        )
        for name, one in SAMPLES.items()
    )
    badges = Markup(" ").join(badge(state, lang) for state in TONES)
    return Markup(
        '<!doctype html><html lang="{}" data-theme="{}"><meta charset="utf-8"><title>Samples</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="style.css">'
        '<body><main class="content"><h1>Samples</h1><p>{}</p><div class="gallery">{}</div></main></body></html>'
    ).format(lang, theme, badges, Markup().join(drawn))


def main(folder: Path) -> None:
    """Write the pages of both languages and themes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "style.css").write_text(STYLESHEET, encoding="utf-8")
    (folder / "photo.svg").write_text(PHOTO, encoding="utf-8")
    for lang in LANGS:
        for theme in ("light", "dark"):
            (folder / f"{lang}-{theme}.html").write_text(page(lang, theme), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
