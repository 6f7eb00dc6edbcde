"""Attacks on real packets: a process of its own on the wire, and the only place with scapy.

It is started as ``python -m instruments.attacks`` inside the network namespace of the wire and
knows links, directions, UDP ports, addresses and payload bytes; what a payload means, and what is
attacked when, is told to it (:mod:`instruments.attacks.messages`). scapy is GPL-2.0-only and an
optional extra (``attacks``): nothing else imports it.
"""
