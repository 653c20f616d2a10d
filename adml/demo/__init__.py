"""A page for trying keywords on recordings."""
