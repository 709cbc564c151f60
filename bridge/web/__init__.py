"""What the service answers on its port."""
