"""Online evaluation: new calls in, jobs planned, cases scored, scores out."""
