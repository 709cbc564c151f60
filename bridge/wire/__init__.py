"""Pure byte tools that device families share."""
