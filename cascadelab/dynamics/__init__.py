"""The loop through time: clock, prices, mechanisms, safeguards, several assets and venues."""
