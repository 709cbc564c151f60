"""Shipped simulators: they speak real bytes and share no decoding code."""
