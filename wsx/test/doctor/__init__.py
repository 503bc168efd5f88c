"""Tests of the parts of ``wsx doctor``."""
