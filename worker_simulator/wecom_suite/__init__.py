"""Third-party apps of WeCom: suites of a provider, the corps that authorise them, and the tokens of both."""
