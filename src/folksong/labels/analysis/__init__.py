"""Study of label spaces: pairs, explanations, stability, maps and plots."""
