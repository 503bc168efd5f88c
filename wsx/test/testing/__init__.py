"""Tests of the test kit, :mod:`wsx.testing`: each on the real client."""
