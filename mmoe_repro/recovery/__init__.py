"""What the paper leaves out, from its own figures: the data law from Figure 2, the training from Figures 3 to 5."""
