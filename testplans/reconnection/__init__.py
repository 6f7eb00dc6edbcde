"""Reconnection after an interruption."""
