"""Pure statistics: numbers in, estimates with intervals and verdicts out."""
