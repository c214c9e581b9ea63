"""What runs say: losses, the paper's claims, trainability, dead units. Arrays and tables in, numbers out."""
