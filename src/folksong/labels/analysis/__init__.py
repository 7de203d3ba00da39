"""Study of label spaces: pairs, explanations, differences, stability, maps and plots."""
