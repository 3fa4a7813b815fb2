"""One folder or module for each format."""
