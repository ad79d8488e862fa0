"""Judge, scorers, experiments and statistics: cases in, scores out."""
