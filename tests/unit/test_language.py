"""What is said to people is said in their language: sentences with their values, errors, words of pages."""

from __future__ import annotations

import copy
import pickle
import re
from itertools import pairwise
from typing import get_args

import pytest

from tests.support.english_left import english_left
from worker.channels.checking.job import url_problems
from worker.console.words import WORDS
from worker.domain.errors import CheckFailed, Problem, WorkerError
from worker.domain.outcome import Outcome
from worker.language import language, term, translate


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE", "LC_MESSAGES": "zh_TW"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "WORKER_LANG": "en"}, "en"),
        ({"LANG": "C", "WORKER_LANG": "zh"}, "zh"),
        ({"LANG": "zh_CN", "WORKER_LANG": ""}, "zh"),
    ],
)
def test_the_language_is_the_persons(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    """WORKER_LANG wins; without it the locale of messages decides, as for other programs."""
    for name in ("WORKER_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert expected == language()


EXAMPLES = """
no jobs
没有任务
no jobs since 2026-11-25
2026-11-25 以来没有任务
database: failed with Oops; check that it is running and that `worker db upgrade` was run
数据库：出错（Oops）；请确认数据库可以访问，并已执行 `worker db upgrade`
account x does not exist; use one of: hr, it; or add [accounts.x], or run `worker accounts add x`
账号 x 不存在；可用的账号：hr, it；或者请添加 [accounts.x]，或执行 `worker accounts add x`
accounts.hr.base_url: not a web address; write it as https://host or http://host:port
accounts.hr.base_url：不是网址；请写成 https://host 或 http://host:port
accounts.hr.base_url: ends in a path that the worker adds by itself (/cgi-bin/); write only the part before it
accounts.hr.base_url：末尾的路径（/cgi-bin/）由工作进程自己补上；请只写它前面的部分
worker.toml or WORKER_TIME_ZONE: time_zone: there is no time zone x; use one such as Asia/Shanghai
worker.toml 或 WORKER_TIME_ZONE：time_zone：没有时区 x；请使用 Asia/Shanghai 这样的名称
worker.toml: not valid TOML (at line 1, column 12); correct the line, see the sample in docs/settings.md
worker.toml：不是有效的 TOML（第 1 行第 12 列）；请更正该行，示例见 docs/zh/settings.md
worker.toml: delivery.lease_s: input should be greater than 0; correct the value
worker.toml：delivery.lease_s：应大于 0；请更正该值
hooks: module shop cannot be imported: there is no module shop
钩子：模块 shop 无法导入：没有模块 shop
accounts.hr.subscribed: only message push has it (edition = "push")
accounts.hr.subscribed：只有消息推送（edition = "push"）支持
accounts.hr.edition: is missing; use "robot" (group robot) or "push" (message push, chats named by chatid)
accounts.hr.edition：缺失；请使用 "robot"（群机器人）或 "push"（消息推送，按 chatid 指定会话）
accounts.hr.estimates.party: is not an integer of 0 or more; give a whole number or leave it out
accounts.hr.estimates.party：不是 0 或更大的整数；请给出一个整数，或去掉
worker.toml: console.users.ada.role: has no such value; use one of 'reader', 'support'
worker.toml：console.users.ada.role：没有这个取值；可用 'reader', 'support'
read 2 members of its task
已读取群发任务的 2 名成员
3 in flight
进行中的调用：3
job 1: send on account hr is partial
任务 1：账号 hr，发送，部分受理
  part 0 waits for retry since 1, again at 2: tried 3 times: limit app_day is used up
  分片 0 等待重试，自 1，2 再试：已尝试 3 次：频率限制 app_day 已用完
limit app_day is used up, HTTP 200, errcode 45009, 3 ms
频率限制 app_day 已用完，HTTP 200, errcode 45009, 3 ms
tag: has no content (limit 3 bytes, found 5); leave it out, or name one; ids: are empty; leave them out, or give some
tag：没有内容（上限 3 字节，实际 5）；请去掉，或给出一个；ids：为空；请去掉，或给出内容
errcode 60020: 60020 the caller's IP is not trusted
errcode 60020：60020 调用方 IP 不在企业可信IP中
add the IP to the app's trusted IPs; it acts after a minute (the vendor sees 192.0.2.1); then `worker resume x`
将该 IP 加入应用的企业可信IP，约一分钟后生效（企业微信看到的地址是 192.0.2.1）；然后 `worker resume x`
text.content: is too long (vendor code 45002) (limit 2048 bytes, found 2050); shorten it
text.content：过长（厂商错误码 45002）（上限 2048 字节，实际 2050）；请缩短
taskcard.title: is not a string (vendor code 40058); use the vendor's type
taskcard.title：不是字符串（厂商错误码 40058）；请使用厂商规定的类型
articles: is not a list of objects; use the vendor's type
articles：不是列表（元素为对象）；请使用厂商规定的类型
accounts.hr.corpid: is missing or not a text; add the corp's id (企业ID), such as ww0123456789abcdef
accounts.hr.corpid：缺失或不是文本；请添加企业ID，例如 ww0123456789abcdef
use one of text, markdown
可用 text, markdown
ids: name jobs that do not exist: 0a, 0b; give whole ids; `worker why 0a` may find one
ids：指定了不存在的任务：0a, 0b；请给出完整的编号；可用 `worker why 0a` 查找
there is no file /srv/outbox.db; run `worker db upgrade`, or correct database in /srv/worker.toml
没有文件 /srv/outbox.db；请执行 `worker db upgrade`，或更正 /srv/worker.toml 中的 database
no connection: refused; the proxy refuses user and password; correct them in the account's `proxy`
无法连接：refused；代理拒绝用户名和密码；请在账号的 `proxy` 中更正
database: its tables are at revision 3, this release needs 4; run `worker db upgrade`
数据库：表结构版本为 3，本版本需要 4；请执行 `worker db upgrade`
paused by wang (account hr): holiday
由 wang 暂停（账号 hr）: holiday
no answer; held: nothing makes a repeat safe
没有响应；待人工确认：没有办法保证重复调用安全
the response_code of job 3 has been used by job 12: each is good for one update; send a new card
任务 3 的 response_code 已使用（任务 12）：每个只能更新一次；发送新的卡片
items: has too few or too many entries (limit 6 entries, found 7); give 1 to 6
items：项数过少或过多（上限 6 项，实际 7）；请给出 1 到 6 项
in doubt; later rejected: no answer
存疑；之后被拒绝：没有响应
cancelled while in doubt: not repeated any more
存疑期间已取消：不再重复调用
job 12 has no recipient that was refused and not sent to since; unknown: 2, include them with unknown=True
任务 12 没有接收方被拒绝且之后没有再发送；无法确定的 2 个，用 unknown=True 可一并发送
 by zhang
，操作人 zhang
  will not be sent until this is fixed: no worker process is alive; worker doctor
  处理之前不会发出：没有运行中的工作进程；worker doctor
worker delivery-1 4711
工作进程 delivery-1 4711
worker resume --account hr
worker resume --account hr
worker resume hr:9f12a88fe4ec64b4
worker resume hr:9f12a88fe4ec64b4
worker delivery 1, worker delivery 2: relay: no answer
工作进程 delivery 1，工作进程 delivery 2：relay：没有响应
look into the logs of worker a 1, worker b 2, worker c 3
请查看工作进程 a 1，工作进程 b 2，工作进程 c 3 的日志
worker delivery 1: this release; all queues; 0.2.0, revision 0002
工作进程 delivery 1：本版本；全部队列；0.2.0，表结构版本 0002
parts are due and are not sent: MQ takes no messages (Refused) (since 9:00); `worker doctor` and `worker health` say why
有分片到期，但没有发送：MQ 不接收消息（Refused）（自 9:00）；原因见 `worker doctor` 和 `worker health`
parked, so its jobs wait and none is lost: IP (since 9:00); x; then `worker resume x`, or wait for the next probe
已挂起，其任务都在等待，不会丢失：IP（自 9:00）；x；然后 `worker resume x`，或等待下一次试探
a name that no table has
a name that no table has
"""


@pytest.mark.parametrize(("english", "chinese"), list(pairwise(EXAMPLES.strip("\n").split("\n")))[::2])
def test_a_sentence_is_found_by_its_shape(english: str, chinese: str) -> None:
    """With the values that were put into it, alone and where several were put together; any other stays as it is."""
    assert chinese == translate(english, "zh")
    assert f"{chinese}\n{chinese}" == translate(f"{english}\n{english}", "zh")
    assert english == translate(english, "en")


def test_a_long_list_stays_as_it_is() -> None:
    """A thousand names with commas or semicolons are no sentences, and cost nothing."""
    names, more = ", ".join(map(str, range(5_000))), "; ".join(map(str, range(5_000)))

    assert f"--state x：没有这个状态；可用 {names}" == translate(f"--state x: is not a state; use one of {names}", "zh")
    assert more == translate(more, "zh")


def test_an_error_is_english_and_can_be_told_in_chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is stored and logged stays English; with WORKER_LANG=zh a traceback has the Chinese as a note."""
    problem = Problem("ids", "are empty", "leave them out, or give some", 1, "bytes", 2)
    told = "ids：为空（上限 1 字节，实际 2）；请去掉，或给出内容"

    plain = CheckFailed([problem])
    monkeypatch.setenv("WORKER_LANG", "zh")
    noted = CheckFailed([problem])

    assert "ids: are empty (limit 1 bytes, found 2); leave them out, or give some" == str(plain) == str(noted)
    assert told == plain.localized("zh") == problem.localized("zh") == noted.localized()
    assert not hasattr(plain, "__notes__")
    assert [told] == noted.__notes__
    assert WorkerError("nothing was changed").localized("en") == "nothing was changed"


def test_what_is_wrong_and_the_remedy_are_each_told_whole() -> None:
    """Also where one of them has a semicolon of its own, by which a line of text would be taken apart."""
    wanted = "userids: 1 to 64 of letters, digits, - _ . @, not beginning with @"
    text, remedy = "has malformed entries: 2, the first at place 0", f"use {wanted}; a broadcast is Everyone()"

    told = CheckFailed([Problem("touser", text, remedy), Problem("safe", "has no such value", "use one of 0, 1")])

    assert told.localized("zh") == (
        "touser：有 2 项格式不对，第一处在位置 0（从 0 数起）；"
        "请使用 userid：1 到 64 个字母、数字或 - _ . @，不以 @ 开头；"
        "全员发送用 Everyone()；safe：没有这个取值；可用 0、1"
    )


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_error_passes_between_processes(monkeypatch: pytest.MonkeyPatch, lang: str) -> None:
    """Whole, as a pool of processes or a task's backend takes it."""
    monkeypatch.setenv("WORKER_LANG", lang)
    error = CheckFailed([Problem("text", "is empty", "give it a content")], channel="wecom_app")

    for same in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(same) == str(error)
        assert same.problems == error.problems
        assert same.channel == "wecom_app"
        assert getattr(error, "__notes__", []) == getattr(same, "__notes__", [])


def test_words_are_those_of_the_pages() -> None:
    """What a part waits for, an event, a lane's step: called alike on the terminal and in the console."""
    pages = {key: chinese for key, (chinese, _) in WORDS.items()}

    alike = [("wait", "what"), ("event", "event"), ("step", "step"), ("standing", "state"), ("unit", "unit")]
    for page, sort in [*alike, ("action", "action"), ("hook", "hook")]:
        names = [key.partition(".")[2] for key in pages if key.startswith(f"{page}.") and key != "hook.all"]
        assert {name: pages[f"{page}.{name}"] for name in names} == {name: term(sort, name, "zh") for name in names}


def test_each_outcome_of_a_call_has_its_word() -> None:
    """As a timeline shows it: by the name that the attempt's row has."""
    names = [re.sub(r"\B(?=[A-Z])", "_", kind.__name__).lower() for kind in get_args(Outcome)]

    assert [name for name in names if term("event", term("state", name, "zh"), "zh") == name] == []


@pytest.mark.parametrize("url", ["", "ftp://host/a.png", "https://host/a b", f"https://host/{'a' * 2048}"])
def test_both_halves_of_a_wrong_address_are_told_in_chinese(url: str) -> None:
    """What is wrong and what to write, which a problem has apart."""
    [problem] = url_problems("file", url)

    assert not {problem.text, problem.remedy} & {translate(problem.text, "zh"), translate(problem.remedy, "zh")}
    assert english_left(problem.localized("zh")) == []
