"""The console of ``twistd wsx --url URL`` and ``python -m wsx URL``."""
