"""Coexistence with other radio signals."""
