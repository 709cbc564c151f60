"""Moves it all: pollers bring records in, deliverers take them out, a supervisor outside both keeps them alive."""
