"""Transitions: the ring on the device, drawing from it, and chunks on disk."""
