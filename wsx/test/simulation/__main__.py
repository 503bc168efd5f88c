"""The command line: see docs/contributing/reliability.md."""

import sys

from wsx.test.simulation.command_line import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
