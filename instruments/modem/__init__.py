"""Cellular modems over a serial port."""
