"""Names that one client in a cluster holds: leases on NATS, and calls to the holder of a name."""
