"""Active probes: packets sent to be measured. STAMP (RFC 8762), as sender and as reflector."""
