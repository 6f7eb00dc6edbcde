"""Moving through the network: handover and what goes wrong with it."""
