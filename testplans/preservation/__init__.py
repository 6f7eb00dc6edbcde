"""Data are preserved and recovered, whatever the device."""
