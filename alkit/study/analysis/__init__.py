"""What the result tables say: curves, costs, paired statistics, recommendations and claims."""
