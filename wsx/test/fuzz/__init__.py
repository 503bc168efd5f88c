"""Compare wsx with other libraries on random input: ``python -m wsx.test.fuzz --seconds 60``."""
