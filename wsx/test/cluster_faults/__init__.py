"""Tests of clusters with real servers of NATS and several OS processes, which faults disturb."""
