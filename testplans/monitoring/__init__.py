"""The plan for devices that monitor: table 4, the remote ICU, and the emergency table 3."""
