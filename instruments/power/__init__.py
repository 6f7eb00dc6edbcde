"""Programmable supplies."""
