"""The project against its peers: same data, same cores, same run, reported as ratios."""
