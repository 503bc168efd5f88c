"""Supervision: one child, restart intensity and pending restarts. No sockets."""
