"""Whatever JSON comes, the simulator has an answer with a code, and shows only what it took."""

import copy
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.simulator.samples import buttons, image_notice, message, mini, mpnews, news, notice, selects, vote
from worker.simulator.request import Request
from worker.simulator.routes import ROUTES, answer
from worker.simulator.settings import SimulatorSettings
from worker.simulator.world import World

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
BODIES = {
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
}


def places(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a body: what holds it, and its name or number."""
    for name in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, name
        yield from places(tree[name])


@st.composite
def calls(draw: st.DrawFn) -> tuple[str, Any]:
    """A call with any JSON in up to three places of its body."""
    path = draw(st.sampled_from(sorted(BODIES)))
    body = copy.deepcopy(draw(st.sampled_from(BODIES[path])))
    for _ in range(draw(st.integers(0, 3))):
        found = list(places(body))
        if found:
            holder, name = draw(st.sampled_from(found))
            holder[name] = draw(JSON)
    return path, body


def test_every_path_is_tried() -> None:
    """No path is left out."""
    assert set(ROUTES) == {f"/cgi-bin/{path}" for path in BODIES}


@settings(deadline=None, max_examples=300)
@given(calls())
def test_there_is_always_an_answer(call: tuple[str, Any]) -> None:
    """errcode and errmsg, and nobody sees a message that was refused."""
    path, body = call
    known = {kind: [".*"] for kind in ("image", "voice", "video", "file")}
    world = World(SimulatorSettings.model_validate({"media": {"known": known}}))

    def ask(path: str, body: Any, **query: str) -> Any:
        return json.loads(
            answer(world, Request("POST", f"/cgi-bin/{path}", query, seq=1, body=json.dumps(body).encode())).body
        )

    token = ask("gettoken", {}, corpid="ww1", corpsecret="s")["access_token"]
    ask("appchat/create", {"chatid": "c", "userlist": ["a", "b"]}, access_token=token)
    code = ask("message/send", buttons(), access_token=token)["response_code"]
    body = {**body, "response_code": code} if path.endswith("card") and isinstance(body, dict) else body
    world.inbox.clear()

    reply = ask(path, body, access_token=token, chatid="c", type="file", key="k")

    assert isinstance(reply["errcode"], int)
    assert reply["errmsg"]
    shown = json.dumps(world.inbox.everybody())
    assert shown == "{}" or (path.endswith("/send") and reply["errcode"] == 0)
    assert world.webhook.posts == [] or (path == "webhook/send" and reply == {"errcode": 0, "errmsg": reply["errmsg"]})
