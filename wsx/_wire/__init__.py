"""Bytes to frames and frames to bytes. Pure: no I/O and no Twisted; partly compiled."""
