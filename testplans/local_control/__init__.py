"""The local side has the last word."""
