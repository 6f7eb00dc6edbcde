"""What the device says of its network: the displayed figures, and no alarm for nothing."""
