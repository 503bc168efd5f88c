"""``twistd wsx``: configuration file, runner, console, demo server and reactor plugin."""
