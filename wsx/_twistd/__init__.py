"""The parts of ``twistd wsx``: configuration file, runner, console, demo server and metrics."""
