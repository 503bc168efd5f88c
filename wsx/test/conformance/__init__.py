"""Run wsx through the Autobahn|Testsuite: ``python -m wsx.test.conformance --wstest COMMAND``."""
