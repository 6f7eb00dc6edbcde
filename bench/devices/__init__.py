"""Device profiles, simulated devices (sans-I/O) and deliberate defects."""
