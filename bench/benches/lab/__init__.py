"""The lab bench: instruments of a bench file around sessions of packets."""
