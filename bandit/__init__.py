"""The learning: statistics, beliefs, objectives and choice. Depends on numpy only."""
