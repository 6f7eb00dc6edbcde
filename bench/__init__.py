"""telemed-bench: a hardware-in-the-loop test bench for remote medical devices.

This package file imports nothing on purpose: every room is imported by its own name.
"""

__version__ = "0.1.0"
