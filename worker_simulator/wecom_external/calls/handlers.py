"""The calls of group sends: each is authorised, counted and carried out.

Does not know HTTP, and what a task is.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from worker_simulator.answers import HttpAnswer, Refused, accepted
from worker_simulator.request import HttpRequest, Json
from worker_simulator.wecom_app.calls.envelope import parse
from worker_simulator.wecom_app.state.apps import App
from worker_simulator.wecom_external.calls import creating, queries

if TYPE_CHECKING:
    from worker_simulator.world import World


def add_msg_template(world: "World", request: HttpRequest) -> HttpAnswer:
    """externalcontact/add_msg_template (92135)."""
    app, body = _authorised(world, request)
    return creating.create(world, app, body, request.seq)


def list_tasks(world: "World", request: HttpRequest) -> HttpAnswer:
    """externalcontact/get_groupmsg_list_v2 (93338)."""
    return queries.tasks(world, *_authorised(world, request))


def list_members(world: "World", request: HttpRequest) -> HttpAnswer:
    """externalcontact/get_groupmsg_task (93338)."""
    return queries.members(world, *_authorised(world, request))


def list_results(world: "World", request: HttpRequest) -> HttpAnswer:
    """externalcontact/get_groupmsg_send_result (93338)."""
    return queries.results(world, *_authorised(world, request))


def remind(world: "World", request: HttpRequest) -> HttpAnswer:
    """externalcontact/remind_groupmsg_send (97610)."""
    app, body = _authorised(world, request)
    world.external.remind(world.external.of(app.corpid, body.get("msgid")))
    return accepted()


def cancel(world: "World", request: HttpRequest) -> HttpAnswer:
    """externalcontact/cancel_groupmsg_send (97611): 0 also when everything was sent."""
    app, body = _authorised(world, request)
    world.external.cancel(world.external.of(app.corpid, body.get("msgid")))
    return accepted()


def _authorised(world: "World", request: HttpRequest) -> tuple[App, Json]:
    app = world.apps.by_token(request.query.get("access_token"), request.ip)
    world.limits.count_call(app.corpid, request.path, request.ip, request.seq)
    if not world.settings.external.permitted or not app.settings.group_sends:
        raise Refused(48002)
    return app, parse(request, world.settings.codes)


ROUTES: dict[str, Callable[["World", HttpRequest], HttpAnswer]] = {
    "/cgi-bin/externalcontact/add_msg_template": add_msg_template,
    "/cgi-bin/externalcontact/get_groupmsg_list_v2": list_tasks,
    "/cgi-bin/externalcontact/get_groupmsg_task": list_members,
    "/cgi-bin/externalcontact/get_groupmsg_send_result": list_results,
    "/cgi-bin/externalcontact/remind_groupmsg_send": remind,
    "/cgi-bin/externalcontact/cancel_groupmsg_send": cancel,
}
