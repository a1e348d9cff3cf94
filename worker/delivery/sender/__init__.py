"""A doorbell's batch of parts, each part's attempt, the limits and the lane it goes through."""
