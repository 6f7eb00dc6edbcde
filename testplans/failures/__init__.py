"""Failure modes: excess delay and interruption."""
