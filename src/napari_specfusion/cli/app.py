"""The command line: which commands there are, and what their exit statuses mean."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from cyclopts import App, CycloptsError, Parameter, UnusedCliTokensError
from cyclopts.help import format_usage

from napari_specfusion.errors import SpecFusionError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["app", "main"]

FAILED, INTERRUPTED = 2, 130

# Each is imported when it is asked for: none waits for what the others need.
COMMANDS = {
    "demo": "demo:demo",
    "check": "check:check_files",
    "align": "align:align_files",
    "fuse": "fuse:fuse_files",
    "fit": "fit:fit_files",
    "train": "train:train_files",
    "train-any": "train_any:train_any_files",
    "evaluate": "evaluate:evaluate_files",
    "judge": "judge:judge_files",
    "convert": "convert:convert_file",
    "reflectance": "reflectance:reflectance_file",
    "bench": "bench:app",
}


def _shown(value: Any) -> str | None:
    """Return a default as it would be typed; None where there is nothing to type."""
    if value is None or value is False:
        return None
    if value is True:
        return "yes"
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or None
    return f"{value:g}" if isinstance(value, float) else str(value)


app = App(
    name="napari-specfusion",
    help="Fuse a hyperspectral cube with a sharper image of the same scene.",
    help_epilogue="Exit status: 0 success, 1 a negative answer (align, check, fit, bench), 2 an error, 130 Ctrl-C.",
    version=lambda: version("napari-specfusion"),
    default_parameter=Parameter(negative=(), show_default=_shown),
    group_parameters="Options",
)
for _place, (_name, _function) in enumerate(COMMANDS.items()):
    app.command(f"napari_specfusion.cli.{_function}", name=_name, sort_key=_place)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0 for success, 1 for an answer of no, 2 for an error."""
    # as stderr does: a name that a file or pipe of Windows has no letters for must not end a run
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    # before torch is loaded: threads that spin while they wait all but stop a busy machine, and themselves
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if not arguments or arguments[0] in app.help_flags:
            # the list of commands shows what each is for
            app.resolved_commands()
        command, bound, _ = app.parse_args(arguments, exit_on_error=False, print_error=False)
        if command.__name__ == "help_print" and not {"--help", "-h"} & set(arguments):
            raise CycloptsError(msg="Give a command.", command_chain=arguments)
        return command(*bound.args, **bound.kwargs) or 0
    except CycloptsError as error:
        print(f"{_usage(error)}\nerror: {_reason(error)}", file=sys.stderr)
        return FAILED
    except SpecFusionError as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED


def _usage(error: CycloptsError) -> str:
    chain = tuple(error.command_chain or ())
    line = format_usage(app, chain).plain.strip()
    return f"usage: {line}\n       {' '.join((*app.name, *chain, '--help'))} explains it"


def _reason(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError):
        return f"There are too many arguments: {' '.join(error.unused_tokens or ())}"
    return str(error)
