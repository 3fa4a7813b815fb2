"""What hostile files may not do."""
