"""The standby network takes over."""
