"""One folder per destination."""
