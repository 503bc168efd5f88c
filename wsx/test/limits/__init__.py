"""Measurements of the limits on what a server can make a client do; see ``__main__``."""
