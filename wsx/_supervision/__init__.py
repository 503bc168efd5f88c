"""The parts of a supervisor: children, restarts, the job queue and the log. No sockets."""
