"""How tasks are spread over processes."""
