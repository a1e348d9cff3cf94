"""Third-party apps of WeCom, faked: a provider's suites, the corps that authorise them, and the tokens of both."""
