"""The command ``python -m wsx``."""

from __future__ import annotations

import sys
from typing import Final

from wsx._console import main as console
from wsx._console.streams import open_missing_streams
from wsx._doctor import command as doctor

__all__ = ["main"]

_BAD_USAGE: Final = 2  # as of most commands; twistd ends with 1


def main(arguments: list[str]) -> int:
    """Run the subcommand that the first argument names, or the console.

    Args:
        arguments: The arguments of the process.

    Returns:
        The exit status, if the process has not exited with one: 2 if the command line is wrong.

    Raises:
        SystemExit: The command line asks for the help text or the version.
    """
    open_missing_streams()
    try:
        if arguments[:1] == ["doctor"]:
            return doctor.main(arguments[1:])
        console.main(arguments)
    except SystemExit as error:
        if not isinstance(error.code, str):
            raise
        print(error.code, file=sys.stderr)
        return _BAD_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
