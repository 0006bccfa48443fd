"""The command line: `omniq-flow` and its verbs.

Global flags are lifted before the verb, so they may stand anywhere. A command returns nothing or its exit code, and
raises an `OmniqFlowError` for all that goes wrong; here it becomes three lines, or one JSON object, and an exit code.
"""

from __future__ import annotations

from omniq_flow.cli import garbage

garbage.seldom()

import signal
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from omniq_flow.cli import argv as arguments
from omniq_flow.cli.commands import counters, flows, groups, jobs, queues, runs, server, start, tui, worker
from omniq_flow.cli.output import Output, ReaderGone
from omniq_flow.cli.session import Session
from omniq_flow.cli.trouble import report, unexpected
from omniq_flow.errors import OmniqFlowError, UsageError

PROGRAM = "omniq-flow"
INTERRUPTED = 130

EPILOG = (
    "Exit codes: 0 done, 1 the run failed or was cancelled, 2 wrong usage, 3 flow or input invalid, 4 server not reachable, "
    "5 not found, 6 conflict or refused, 7 gave up waiting (the run goes on), 8 not confirmed or read-only, 9 partly done (a worker handed "
    "back unfinished work), 130 interrupted."
)

app = typer.Typer(
    name=PROGRAM,
    help="Durable, typed DAG workflows on Redis or Valkey.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(start.run)
app.command("start")(start.start)
app.command("worker")(worker.worker)
app.command("tui")(tui.tui)
app.command("monitor", hidden=True)(tui.tui)
app.add_typer(runs.app, name="runs")
app.add_typer(jobs.app, name="jobs")
app.add_typer(queues.app, name="queues")
app.add_typer(groups.app, name="groups")
app.add_typer(counters.app, name="counters")
app.add_typer(flows.app, name="flows")
app.command("graph")(flows.graph)
app.add_typer(server.app, name="server")
app.command("version")(server.version)

# The class of Typer's own refusals is not public, and moved between its versions.
_Refusal: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


@app.callback()
def common(
    context: typer.Context,
    url: Annotated[str | None, typer.Option(help="Address of the server; without one, the project's own.")] = None,
    profile: Annotated[str | None, typer.Option(metavar="NAME", help="The server of this name: [profiles.NAME] in the settings.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON: one object, or one a line.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print data only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more on stderr.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="No colours.")] = False,
    connect_timeout: Annotated[str | None, typer.Option(metavar="TIME", help="How long to try to reach the server.")] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
) -> None:
    output: Output = context.obj
    output.configure(is_json=json, is_quiet=quiet, no_color=no_color)
    context.obj = Session(output, verbose, debug, {"url": url, "profile": profile, "connect_timeout": connect_timeout})


def main() -> None:
    """Run the command line of this process and leave with its exit code."""
    code = run(sys.argv[1:])
    garbage.no_more()
    sys.exit(code)


def run(argv: Sequence[str]) -> int:
    """Carry out one command; gives its exit code."""
    command = typer.main.get_command(app)
    # One for all: it knows where stdout is, also after user code was kept away from it.
    is_debug, output = "--debug" in argv, Output.of_process(is_json="--json" in argv)
    try:
        lifted, rest = arguments.lift(argv, options_with_value(command))
        is_debug = "--debug" in lifted
        output.is_json = "--json" in lifted
        return int(command.main([*lifted, *rest], prog_name=PROGRAM, standalone_mode=False, obj=output) or 0)
    except OmniqFlowError as error:
        return _failed(output, error, is_debug)
    except _Refusal as refusal:
        if (help_text := _help_of(refusal)) and not output.is_json:
            output.err.write(help_text + "\n")
            return UsageError.exit_code
        return _failed(output, _usage(refusal), is_debug)
    except ReaderGone:
        return 128 + signal.SIGPIPE
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except Exception as error:
        return _failed(output, unexpected(error), is_debug)


def options_with_value(command: Any) -> frozenset[str]:
    """All options, of a command and those below it, that are followed by a value."""
    own = {opt for param in command.params if not getattr(param, "is_flag", True) for opt in (*param.opts, *param.secondary_opts)}
    inner = getattr(command, "commands", {}).values()
    return frozenset(own).union(*(options_with_value(c) for c in inner))


def _failed(output: Output, error: OmniqFlowError, is_debug: bool) -> int:
    if is_debug:
        traceback.print_exc(file=sys.stderr)
    return report(output, error)


def _usage(refusal: Any) -> OmniqFlowError:
    """A refusal of the parser."""
    context = getattr(refusal, "ctx", None)
    path = context.command_path if context else PROGRAM
    if _help_of(refusal):
        return UsageError(f"{path} needs a command", hint=f"{path} --help")
    return UsageError(refusal.format_message(), where=path, hint=f"{path} --help")


def _help_of(refusal: Any) -> str:
    """What to say to a command without its verb; empty for any other refusal."""
    return str(refusal.ctx.get_help()) if type(refusal).__name__ == "NoArgsIsHelpError" else ""


if __name__ == "__main__":
    main()
