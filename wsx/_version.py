"""The version, in one place for the package, its metadata and the User-Agent header."""

from wsx._distribution import warn_of_conflict

__version__ = "0.1.0"

warn_of_conflict()
