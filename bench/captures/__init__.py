"""Capture files in, columns of packets out, and their pairs between two taps."""
