"""Whatever JSON comes, the simulator has an answer with a code, and shows only what it took."""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import example, given, strategies as st

from tests.support.youdu_client import APP, BUIN, KEYS
from tests.unit.simulator.samples import buttons, image_notice, message, mini, mpnews, news, notice, selects, vote
from worker.crypto.youdu import YouduEnvelope
from worker_simulator.request import HttpRequest
from worker_simulator.settings import SimulatorSettings
from worker_simulator.vendor_state import VendorState
from worker_simulator.wire.routes import ROUTES, answer

JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-9, 10**20), st.floats(-9, 9), st.text(max_size=5), st.just("@all")
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=5,
)
MENU = {"desc": "d", "action_list": [{"text": "t", "key": "k"}]}
SELECTION = {"question_key": "q", "option_list": [{"id": "a", "text": "A"}], "selected_id": "a"}
SENDS = [
    message("text", {"content": "hi", "mentioned_list": ["@all"]}, safe=1, enable_id_trans=1, enable_duplicate_check=1),
    message("file", {"media_id": "m"}, toparty="1", totag="2"),
    news(appid="wx1", pagepath="p"),
    mpnews(),
    mini(content_item=[{"key": "k", "value": "v"}]),
    notice(task_id="t", action_menu=MENU, horizontal_content_list=[{"type": 1, "keyname": "k", "url": "u"}]),
    image_notice(vertical_content_list=[{"title": "t"}], jump_list=[{"title": "t"}]),
    buttons(button_selection=SELECTION),
    vote(),
    selects(),
]
CHAT = {
    "chatid": "c",
    "name": "n",
    "owner": "a",
    "userlist": ["a", "b"],
    "add_user_list": ["c"],
    "del_user_list": ["b"],
}
UPDATE = {"userids": ["chenmo"], "partyids": [1], "tagids": [2], "atall": 0, "agentid": 1, "enable_id_trans": 1}
ACTION = {"type": "button", "name": "n", "text": "t", "value": "v", "replace_text": "r", "border_color": "#2EAB49"}
POSTS: list[dict[str, Any]] = [
    {"msgtype": "text", "text": {"content": "hi", "mentioned_list": ["@all"]}, "chatid": "wr1|zhangsan"},
    {
        "msgtype": "markdown",
        "markdown": {
            "content": "hi",
            "at_short_name": True,
            "attachments": [{"callback_id": "c", "actions": [ACTION]}],
        },
        "chatid": "bb1",
        "post_id": "bp1",
        "visible_to_user": "zhangsan|lisi",
    },
    {"msgtype": "markdown_v2", "markdown_v2": {"content": "hi"}},
    {"msgtype": "image", "image": {"base64": "iVBORw0KGgo=", "md5": "0"}, "chatid": "@all"},
    {"msgtype": "miniprogram", "miniprogram": {"title": "t", "pic_media_id": "m", "appid": "a", "page": "p"}},
    *({name: value for name, value in one.items() if name != "agentid"} for one in (news(), notice(), image_notice())),
]
CAMPAIGN = {
    "chat_type": "single",
    "external_userid": ["wm1", "wm2"],
    "tag_filter": {"group_list": [{"tag_list": ["et1"]}]},
    "sender": "zhangsan",
    "allow_select": True,
    "text": {"content": "hi"},
    "attachments": [
        {"msgtype": "image", "image": {"media_id": "m", "pic_url": "http://p/1"}},
        {"msgtype": "link", "link": {"title": "t", "url": "http://a", "desc": "d", "picurl": "http://p/2"}},
        {"msgtype": "miniprogram", "miniprogram": {"title": "t", "pic_media_id": "m", "appid": "a", "page": "p"}},
    ],
}
GROUPS = {"chat_type": "group", "chat_id_list": ["wr1"], "sender": "zhangsan", "text": {"content": "hi"}}
PAGE = {"msgid": "msg1", "userid": "zhangsan", "limit": 3, "cursor": ""}
LIST = {
    "chat_type": "single",
    "start_time": 1,
    "end_time": 2,
    "creator": "a",
    "filter_type": 0,
    "limit": 3,
    "cursor": "",
}
BODIES: dict[str, list[dict[str, Any]]] = {
    "externalcontact/add_msg_template": [CAMPAIGN, GROUPS],
    "externalcontact/get_groupmsg_list_v2": [LIST],
    "externalcontact/get_groupmsg_task": [PAGE],
    "externalcontact/get_groupmsg_send_result": [PAGE],
    "externalcontact/remind_groupmsg_send": [{"msgid": "msg1"}],
    "externalcontact/cancel_groupmsg_send": [{"msgid": "msg1"}],
    "webhook/send": POSTS,
    "webhook/upload_media": [{}],
    "message/send": SENDS,
    "message/recall": [{"msgid": "m"}],
    "message/update_template_card": [
        {**UPDATE, "button": {"replace_name": "x"}},
        {**UPDATE, "template_card": vote()["template_card"]},
    ],
    "appchat/create": [CHAT],
    "appchat/update": [CHAT],
    "appchat/get": [CHAT],
    "appchat/send": [{**body, "chatid": "c"} for body in SENDS],
    "media/upload": [{}],
    "media/uploadimg": [{}],
    "gettoken": [{}],
    "agent/get": [{}],
    "service/get_suite_token": [{"suite_id": "s", "suite_secret": "s", "suite_ticket": "t"}],
    "service/get_permanent_code": [{"auth_code": "a"}],
    "service/get_corp_token": [{"auth_corpid": "c", "permanent_code": "p"}],
}


YOUDU_SENDS: list[dict[str, Any]] = [
    {"toUser": "alice|bob", "toDept": "1", "msgType": "text", "text": {"content": "hi"}},
    {
        "toUser": "alice",
        "msgType": "mpnews",
        "mpnews": [{"title": "t", "media_id": "m", "content": "c", "showFront": 1}],
    },
    {"toUser": "alice", "msgType": "link", "link": {"title": "t", "url": "http://a", "action": 1}},
    {"toUser": "alice", "msgType": "exlink", "exlink": [{"title": "t", "url": "http://a", "media_id": "m"}]},
    {"toAll": {"onlyOnline": True}, "msgType": "sysMsg", "sysMsg": {"title": "t", "msg": [{"text": {"content": "c"}}]}},
    {"toEmail": "a@b", "msgType": "mail", "mail": {"action": "new", "time": 1}},
]
YOUDU = {
    "gettoken": [{}],
    "msg/send": YOUDU_SENDS,
    "media/upload": [{"type": "file", "name": "a"}],
    "media/search": [{"mediaId": "m"}],
    "media/get": [{"mediaId": "m"}],
    "popwindow": [{"toUser": "alice", "toDept": "", "popWindow": {"url": "http://a", "notice_id": "n", "width": 1}}],
    "set.ent.notice": [{"account": "alice", "count": 3, "tip": "t"}],
}


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a body: what holds it, and its name or number."""
    for name in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, name
        yield from places(tree[name])


@st.composite
def calls(draw: st.DrawFn, bodies: Mapping[str, list[dict[str, Any]]]) -> tuple[str, Any]:
    """A call with any JSON in up to three places of its body."""
    path = draw(st.sampled_from(sorted(bodies)))
    body = copy.deepcopy(draw(st.sampled_from(bodies[path])))
    for _ in range(draw(st.integers(0, 3))):
        found = list(places(body))
        if found:
            holder, name = draw(st.sampled_from(found))
            holder[name] = draw(JSON)
    return path, body


def test_every_path_is_tried() -> None:
    """No path is left out."""
    assert set(ROUTES) == {f"/cgi-bin/{path}" for path in BODIES} | {f"/cgi/{path}" for path in YOUDU}


ODD_TAGS = {
    "chat_type": "single",
    "sender": "zhangsan",
    "tag_filter": {"group_list": [{"tag_list": [[]]}]},
    "text": {"content": "hello"},
}


@given(calls(BODIES))
@example(("externalcontact/add_msg_template", ODD_TAGS))
def test_there_is_always_an_answer(call: tuple[str, Any]) -> None:
    """errcode and errmsg, and nobody sees a message that was refused."""
    path, body = call
    known = {kind: [".*"] for kind in ("image", "voice", "video", "file")}
    state = VendorState(SimulatorSettings.model_validate({"media": {"known": known}}))

    def ask(path: str, body: Any, **query: str) -> Any:
        return json.loads(
            answer(state, HttpRequest("POST", f"/cgi-bin/{path}", query, seq=1, body=json.dumps(body).encode())).body
        )

    token = ask("gettoken", {}, corpid="ww1", corpsecret="s")["access_token"]
    ask("appchat/create", {"chatid": "c", "userlist": ["a", "b"]}, access_token=token)
    code = ask("message/send", buttons(), access_token=token)["response_code"]
    body = {**body, "response_code": code} if path.endswith("card") and isinstance(body, dict) else body
    state.inbox.clear()

    reply = ask(path, body, access_token=token, chatid="c", type="file", key="k")

    assert isinstance(reply["errcode"], int)
    assert reply["errmsg"]
    shown = json.dumps(state.inbox.everyone())
    assert shown == "{}" or (path.endswith("/send") and reply["errcode"] == 0)
    assert state.webhook.posts == [] or (path == "webhook/send" and reply == {"errcode": 0, "errmsg": reply["errmsg"]})


@given(calls(YOUDU), st.booleans())
def test_there_is_always_an_answer_of_youdu(call: tuple[str, Any], inside: bool) -> None:
    """Odd JSON inside of a good envelope, or in its place; nobody sees what was refused."""
    path, body = call
    state = VendorState(SimulatorSettings())
    envelope = YouduEnvelope(KEYS[APP], APP)

    def ask(path: str, inner: Any, outer: Any = None) -> Any:
        sealed = envelope.seal(json.dumps(inner).encode(), bytes(16))
        whole = {"buin": BUIN, "appId": APP, "encrypt": sealed, "app_id": APP, "msg_encrypt": sealed}
        sent = json.dumps(whole if outer is None else outer).encode()
        return json.loads(
            answer(state, HttpRequest("POST", f"/cgi/{path}", {"accessToken": token}, seq=1, body=sent)).body
        )

    token = ""
    token = json.loads(envelope.open(ask("gettoken", 1_700_000_000)["encrypt"]))["accessToken"]
    reply = ask(path, body, None if inside else body)

    assert isinstance(reply["errcode"], int)
    assert reply["errmsg"]
    shown = json.dumps(state.inbox.everyone())
    assert shown == "{}" or reply["errcode"] == 0
