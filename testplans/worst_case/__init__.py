"""Several faults together."""
