"""Measures wsx side by side with other WebSocket clients; see README.md."""
