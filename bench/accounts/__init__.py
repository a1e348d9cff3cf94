"""What many accounts cost, and what broken ones cost the others."""
