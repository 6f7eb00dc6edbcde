"""How the device reaches the network: each access method judged apart."""
