"""Tests of devices: one folder per device class and one per cross-cutting topic."""
