"""Soak runs: many real clients, real servers in other processes, and a network that fails.

Run ``python -m wsx.test.soak --help``. ``docs/contributing/reliability.md`` has figures.
"""
