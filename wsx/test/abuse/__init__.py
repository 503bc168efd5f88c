"""Handshake abuse: scripted hostile servers, each with its typed outcome and its time."""
