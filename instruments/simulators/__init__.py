"""Simulated instruments on real sockets, written from the instruments' published command sets."""
