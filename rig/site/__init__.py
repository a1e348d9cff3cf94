"""The documentation site: `python -m rig.site` builds it out of docs/, in English and in Chinese."""
