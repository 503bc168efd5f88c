"""Deterministic simulation: real clients on a virtual clock, against scripted servers and faults.

``python -m wsx.test.simulation --seed S`` runs one seed. ``docs/contributing/reliability.md``
explains the options.
The same seed always leads to the same events, in any process.

- ``reactor``: virtual time. Timers follow the wall clock, the network follows the monotonic clock.
- ``wire``: frames as a server sends and receives them; the receiving side is strict.
- ``network``: transports, and what can happen to bytes and connections.
- ``server``: scripted servers behind an endpoint.
- ``rules``: the names of the invariants, and those that are checked after each step.
- ``terms``: the terms of the model.
- ``model``: a reference model of one client, which predicts each callback, frame and reason.
- ``watch``: the part of this model that watches keepalive pings and timeouts.
- ``limits``: a connection limit under test, with its model.
- ``policy``: an independent implementation of the reconnect rules.
- ``subject``: a client under test; calls its methods and compares the results with the model.
- ``behaviour``: handlers that do everything a handler may do, and some that it may not.
- ``otp``: a reference model of a supervisor.
- ``trees``: supervisors and services under test.
- ``services``: client services whose clients end in all ways.
- ``world``: builds a simulation from a seed and runs it.
- ``shrink``: reduces a failing configuration.
- ``faults``: plants faults in the engine, and measures how long the simulation takes to find them.
"""
