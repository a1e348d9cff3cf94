"""A model of marks, leases, recovery and response_codes that is searched to its end, and its guards one by one."""
