"""Security and connections: attackers and further clients on the network, encryption, jamming."""
