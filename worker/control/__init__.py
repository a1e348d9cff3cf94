"""Commands by which a person changes jobs, lanes and accounts. Each commits its own transactions and is audited."""
