"""The network: Autobahn, Twisted's sockets, endpoints, TLS and proxies."""
