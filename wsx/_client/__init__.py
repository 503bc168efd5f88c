"""One client: its lifecycle, mailbox, delivery to the handler, keepalive and tracing."""
