"""Programs that `make` runs on this checkout: they write documents and manifests, or hold what is there to a rule."""
