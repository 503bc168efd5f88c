"""Benchmarks that compare wsx with other WebSocket clients; see README.md."""
