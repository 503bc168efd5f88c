"""The metadata is in pyproject.toml; this keeps twistd's plugin cache fresh after an installation."""

from setuptools import setup

setup()
