"""Join the stages: from settings to artifacts and their reports."""
