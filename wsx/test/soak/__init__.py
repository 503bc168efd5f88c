"""Soak runs: many real clients, real servers in other processes, and a network that fails.

Run ``python -m wsx.test.soak --help``. ``docs/reliability.md`` has the figures of some runs.
"""
