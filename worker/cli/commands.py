"""The `worker` command, and the commands that do not load the worker. The other files here have the other commands."""

from __future__ import annotations

import gc
import inspect
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.cli.options import Command, CommandGroup, Commands, Json, echo, echo_error, print_value
from worker.language import Lang, language, term, translate

ON_JOBS = "command"
"""The file that makes the commands on the jobs of a filter, of what each says of itself in `worker/control`."""
FILES = (
    "setup.init",
    "running",
    "db",
    "lists.jobs",
    "mailing",
    "showing",
    "lists.callbacks",
    "lists.limits",
    "lists.forecast",
    "setup.doctor",
    "health",
    "lists.lanes",
    "sending",
    ON_JOBS,
    "control",
    "correct",
    "pausing",
    "accounts",
)
"""The files of the other commands, in the order of the help."""
GROUPS: Mapping[str, tuple[str, ...]] = {
    "Try": ("demo", "simulator", "explain"),
    "Run": ("init", "up", "receiver", "console", "metrics", "db", "accounts"),
    "Look": (
        *("doctor", "health", "jobs", "show", "why", "mailing", "failures", "lanes", "limits", "forecast"),
        *("inbound", "hooks", "audit"),
    ),
    "Send": ("send", "upload", "update-card"),
    "Decide": (
        *("pause", "resume", "cancel", "recall", "correct", "replay", "resolve", "reschedule", "move", "skip"),
        "acknowledge",
    ),
    "Keep": ("erase", "fence"),
}
"""All commands, in the order of need."""
FIRST = {
    "worker demo": "shows it all on this machine, against fake vendors",
    "worker init": "writes a first worker.toml",
    "worker up": "runs everything in one process",
    "worker doctor": "says what is wrong, and what to do",
    "worker why JOB": "says what a job waits for",
}
"""What one needs first, for who types `worker` alone."""
_CONTROL = Path(__file__).parents[1] / "control"
_GROUP = re.compile(r'^app = Commands\(\s*name="(\w+)",\s*help="(.*?)"', re.MULTILINE)
# Not by parsing the files as Python, which takes 28 ms; this takes 2.
_IN_TABLE = re.compile(r'^\w+ = Command\(\s*name="(\w+)",\s*help="(.*?)",(\s*target=)?', re.MULTILINE)
_COMMAND = re.compile(
    r'^@app\.command\((?:"([\w-]+)")?[^\n]*\n(@made_of)?.*?^def (\w+)\(.*?^    """(.*?)"""', re.MULTILINE | re.DOTALL
)


@cache
def command_files() -> Mapping[str, tuple[str, str]]:
    """Returns each command's file and help, read without importing the file, because that would load SQLAlchemy."""
    table = [row for file in sorted(_CONTROL.glob("*.py")) for row in _IN_TABLE.findall(file.read_text("utf-8"))]
    helps, found = {name: help for name, help, _ in table}, dict[str, tuple[str, str]]()
    for file in FILES:
        on_jobs = [(name, help) for name, help, has_target in table if not has_target]
        for name, help in on_jobs if file == ON_JOBS else _commands_of(file, helps):
            # One with options on the command line alone is found once more, in the file that adds them.
            found[name] = (file, help)
    return found


def _commands_of(file: str, helps: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields the commands of a file with their help, or only the group if the file is a group.

    `helps` has the help of those that are made of the table.
    """
    text = Path(__file__).parent.joinpath(*file.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    if group := _GROUP.search(text):
        yield group[1], group[2]
        return
    for name, is_made, function, help in _COMMAND.findall(text):
        yield name or function, helps[function] if is_made else inspect.cleandoc(help)


def load_commands(file: str, *names: str) -> Mapping[str, Any]:
    """Imports a file and returns its commands by name; of the table only those with these names."""
    module = import_module(f"worker.cli.{file}")
    group: Any = typer.main.get_group(module.on_jobs(*names) if file == ON_JOBS else module.app)
    return {file: group} if group.name == file else group.commands


def every_command() -> Any:
    """Returns the `worker` command with all its commands loaded."""
    group: Any = typer.main.get_command(app)
    for file in FILES:
        names = (name for name, (its_file, _) in command_files().items() if its_file == file)
        group.commands.update(load_commands(file, *names))
    return group


class _Worker(CommandGroup):
    """All commands. A command's file is imported when the command is run; help and completion import none."""

    def __init__(self, **options: Any):
        super().__init__(**options)
        self.commands.update({name: Command(name, help=help) for name, (_, help) in command_files().items()})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args:
            for command, text in FIRST.items():
                echo(f"{command:<16}{translate(text)}")
            echo(translate("`worker --help` lists all commands"))
            raise typer.Exit
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def format_help(self, ctx: Any, formatter: Any) -> None:
        for group, name in ((group, name) for group, names in GROUPS.items() for name in names):
            command: Any = self.commands.pop(name)
            command.rich_help_panel = term("group", group)
            self.commands[name] = command
        super().format_help(ctx, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        command: Any
        name, command, rest = super().resolve_command(ctx, args)
        if name is not None and name in command_files():
            command = load_commands(command_files()[name][0], name)[name]
        if not gc.isenabled():
            gc.freeze()
            gc.enable()
        return name, command, rest


app = Commands(_Worker, name="worker", help="Queue-backed delivery of enterprise-IM messages.")


def _version(is_set: bool) -> None:
    if is_set:
        from worker.outbox.engine.migrate import this_release

        release = this_release()
        typer.echo(f"im-delivery-worker {release.version}, tables at revision {release.revision}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="This release.")] = False,
) -> None:
    """Queue-backed delivery of enterprise-IM messages."""


@app.command()
def demo(
    all_channels: Annotated[
        bool, typer.Option("--all-channels", help="Every message type, upload and follow-up of every channel, once.")
    ] = False,
    stay: Annotated[
        bool, typer.Option("--stay", help="Afterwards stays open until Ctrl-C, with an inbox to click through.")
    ] = False,
) -> None:
    """Shows the whole worker on this machine in a few seconds, against fake vendors; leaves nothing behind."""
    from worker_simulator.demo import run, run_all_channels

    raise typer.Exit(run_all_channels(stay=stay) if all_channels else run(stay=stay))


@app.command(
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def simulator(context: typer.Context) -> None:
    """Runs a fake WeCom over HTTP: --port P, --bare, --latency-ms N, --settings JSON; --help lists all."""
    from worker_simulator.__main__ import main

    main(context.args)


@app.command(context_settings={"ignore_unknown_options": True})  # -1 is an errcode, no option
def explain(
    code: Annotated[int, typer.Argument(help="A vendor's errcode, such as 60020.")],
    lang: Annotated[Lang | None, typer.Option(help="English or Chinese.")] = None,
    channel: Annotated[str | None, typer.Option(help="One channel's catalogue; all of them by default.")] = None,
    as_json: Json = False,
) -> None:
    """Explains a vendor's errcode: what it means, what the worker does about it, and what to do."""
    lines = _explain(code, lang or language(), channel)
    if not lines:
        echo_error(f"errcode {code} is not in the catalogue; a call that gets it is rejected and not repeated")
        raise typer.Exit(1)
    print_value({"code": code, "lines": lines}, "\n".join(lines), as_json=as_json)


def _explain(code: int, lang: Lang, channel: str | None) -> list[str]:
    """Returns the lines about a code, below the channels' names if they differ; empty if no channel knows the code."""
    from worker.channels import registry

    names_by_lines: dict[tuple[str, ...], list[str]] = {}
    for name in (channel,) if channel else registry.names():
        lines = registry.channel(name).explain(code, lang)
        if lines:
            names_by_lines.setdefault(tuple(lines), []).append(name)
    if len(names_by_lines) == 1:
        return list(next(iter(names_by_lines)))
    return [
        line
        for lines, names in names_by_lines.items()
        for line in (f"{', '.join(names)}:", *(f"  {line}" for line in lines))
    ]
