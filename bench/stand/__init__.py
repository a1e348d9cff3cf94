"""What several programs run on: installations, fake vendors, servers and stacks."""
