"""Per-stream series, metrics with their RFC, ITU and 3GPP names, statistics. Pure."""
