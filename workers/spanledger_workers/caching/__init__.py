"""The semantic cache's bound: hits are checked, evidence is kept, tiers are opened and closed."""
