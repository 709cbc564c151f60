"""Other bridges beside ours, on the same simulated day. None is bundled: the operator installs and names them."""
