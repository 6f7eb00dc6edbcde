"""Devices that monitor and do not move: a bedside gateway with its sources, a central station."""
