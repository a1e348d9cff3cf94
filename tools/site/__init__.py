"""The documentation site: `python -m tools.site` builds it out of docs/, in English and in Chinese."""
