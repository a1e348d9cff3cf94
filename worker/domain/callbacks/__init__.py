"""What a vendor calls back with, and what hooks are told."""
