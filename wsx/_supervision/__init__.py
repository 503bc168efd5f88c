"""The parts of a supervisor: children, restarts, the queue of jobs, and the log. No sockets."""
