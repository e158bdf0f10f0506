"""Layer types: torch's names, arguments and tensors as data (table), and their shapes."""
