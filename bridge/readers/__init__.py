"""One folder per device family or source; none knows another."""
