"""``wsx doctor``: shows each phase of connecting, and what is wrong."""
