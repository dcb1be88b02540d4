"""Stand-ins that keep state: held to the same contract tests as the edges they replace."""
