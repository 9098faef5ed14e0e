"""Only the data structures that Python and well-kept libraries lack."""
