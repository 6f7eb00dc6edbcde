"""Judging: specification and measurement in, verdict out. Decision rules and planning."""
