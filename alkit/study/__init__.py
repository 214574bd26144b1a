"""The apparatus of this one study: tables, batches of runs, analysis, figures and the command line."""
