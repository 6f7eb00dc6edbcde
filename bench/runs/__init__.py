"""The run folder: written as things happen, read back, sealed."""
