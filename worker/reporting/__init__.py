"""Reports on jobs, recipients, timelines, campaigns and limits. Reads only."""
