"""Numbered packets through an emulator between two namespaces, watched by two taps.

Import :class:`bench.benches.fidelity.bench.FidelityBench`; this package imports nothing by
itself, because its host process must enter its namespaces before any library starts a thread.
"""
