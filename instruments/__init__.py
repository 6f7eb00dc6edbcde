"""What the bench controls and the device never sees."""
