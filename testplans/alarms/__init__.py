"""Recognising that the network is abnormal, and alarming."""
