"""What became of jobs: reports, recipients, timelines, campaigns, limits. Reads only."""
