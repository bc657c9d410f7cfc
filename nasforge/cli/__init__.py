"""The ``nasforge`` command; the only place that imports typer."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from typing import NoReturn

__all__ = ["main", "run_command"]


def main() -> NoReturn:
    """Run the command line of this process and exit with its status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # pipes and files on Windows know 256 characters
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: The words behind ``nasforge``.

    Returns:
        The exit status: 0 if all went well, 1 for a run that failed, 2 for a wrong recipe or argument, 3 for
        a result that misses a limit of a strict run, 75 if a signal stopped it so that it can resume, 130 if
        it was interrupted.
    """
    from nasforge.cli.output import debugging, one_line_warnings, print_error
    from nasforge.errors import NasforgeError, describe_system_error, is_out_of_memory

    # Accepted before and behind the name of a command.
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    debugging.set(debug)
    if any("\0" in argument for argument in arguments):
        print_error("an argument holds a NUL byte, which no file name or option can have.")
        return 2
    with one_line_warnings():
        try:
            return _dispatch(arguments)
        except NasforgeError as error:
            if debug:
                raise
            if not error.is_reported_elsewhere:  # by another process of the run
                print_error(str(error))
            return error.exit_code
        except BrokenPipeError:
            # The reader of our output has gone (`nasforge plugins list | head -1`).
            sys.stderr.close()
            return 1
        except KeyboardInterrupt:
            print_error("interrupted.")
            return 130
        except OSError as error:
            if debug:
                raise
            print_error(describe_system_error(error))
            return 1
        except Exception as error:
            if debug:
                raise
            if is_out_of_memory(error):
                print_error(
                    "out of memory. Use smaller batches (batch_size), narrower or fewer cells, fewer "
                    "workers, or gradient_checkpointing = true in [run]."
                )
                return 1
            if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop from "):
                # pathlib before Python 3.13; afterwards it is an OSError.
                print_error(
                    f"{str(error).removeprefix('Symlink loop from ')}: a circle of symbolic links. Remove it."
                )
                return 1
            if isinstance(error, RuntimeError) and str(error) == "Could not determine home directory.":
                print_error("a path begins with the home folder (~) of a user who does not exist.")
                return 1
            print_error(
                f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'} (unexpected; "
                "run the same command with --debug for the traceback)"
            )
            return 1


def _dispatch(arguments: Sequence[str]) -> int:
    import typer.main

    from nasforge.cli.app import app
    from nasforge.cli.output import print_error

    command = typer.main.get_command(app)
    try:
        status = command.main(list(arguments), prog_name="nasforge", standalone_mode=False)
    except Exception as error:
        # typer's own errors about arguments; their class has moved between versions.
        if not hasattr(error, "format_message"):
            raise
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "nasforge"
        message = error.format_message().rstrip()
        if type(error).__name__ == "NoArgsIsHelpError" or not message:
            return 2
        end = "" if message[-1:] in ".?!)" else "."
        print_error(f"{message}{end} See {path} --help.")
        return int(getattr(error, "exit_code", 2))
    return status if isinstance(status, int) else 0
