"""The local bench: real packets between network namespaces of this host.

Import :class:`bench.benches.local.bench.LocalBench`; this package imports nothing by itself,
because its host process must enter its namespaces before any library starts a thread.
"""
